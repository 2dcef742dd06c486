"""What to merge, from wherever it is written down: an experiment, a record, a checkpoint, a .mecha recipe."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridsearch.errors import BadInput
from gridsearch.experiment import Experiment, load_experiment
from gridsearch.exporting import Fixed, fixed_record, fixed_trial
from gridsearch.merge.files import open_checkpoint
from gridsearch.merge.mecha.read import read_mecha
from gridsearch.merge.record import KEY, Record, read_record
from gridsearch.parents import open_parents
from gridsearch.recipe import Model
from gridsearch.report.analysis import plain_value
from gridsearch.report.results import Results


def open_merge(
    source: Path, values: Sequence[str], prediction_type: str | None, models: Sequence[str]
) -> Fixed:
    """The merge that a file describes.

    Args:
        source: an experiment (.toml), a merge log (.json), a merged checkpoint (.safetensors) or a recipe of
            sd-mecha (.mecha).
        values: `[NAME=]VALUE` for everything in it that is searched.
        prediction_type: of the merge, where the source leaves it open.
        models: `NAME=FILE` for files that are elsewhere than it says.

    Raises:
        BadInput: it says too little, or too much was said.
    """
    if source.suffix == ".toml":
        experiment = with_files(load_experiment(source), files_from(models))
        return fixed_trial(experiment, chosen_values(experiment, values) | _mode(experiment, prediction_type))
    if values:
        raise BadInput("Nothing is searched there.", where=source, fix="Leave --ratio out.")
    if source.suffix == ".mecha":
        return _from_mecha(source, prediction_type, models)
    if prediction_type:
        raise BadInput("The record says it already.", where=source, fix="Leave --prediction-type out.")
    record, paths = _read_log(source) if source.suffix == ".json" else (_read_checkpoint(source), {})
    return fixed_record(record, {**paths, **files_from(models)}, source)


def of_trial(results: Results, number: int, models: Sequence[str]) -> Fixed:
    """The merge of a run's trial."""
    row = results.trials.set_index("trial").loc[number]
    experiment = with_files(Experiment.model_validate(results.settings), files_from(models))
    known = {name: file["sha256"] for name, file in {**results.models, **results.extras}.items()}
    return fixed_trial(experiment, {name: plain_value(row[name]) for name in results.parameters}, known)


def _read_log(path: Path) -> tuple[Record, dict[str, Path]]:
    """The record of a merge log, and where the files were; relative paths start at its folder."""
    try:
        log = json.loads(path.read_bytes())
        paths = {str(name): path.parent / str(file) for name, file in log.get("paths", {}).items()}
        text = json.dumps(log.get("record", log))
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadInput("The merge log cannot be read.", where=path, why=str(error)) from None
    return read_record(text, path), paths


def _read_checkpoint(path: Path) -> Record:
    metadata = open_checkpoint(path).metadata
    if KEY not in metadata:
        raise BadInput(
            "This checkpoint does not say how it was merged.",
            where=path,
            why=f"its metadata has no {KEY}",
            fix="Name an experiment file, a merge log or a .mecha recipe.",
        )
    return read_record(metadata[KEY], path)


def _from_mecha(path: Path, prediction_type: str | None, models: Sequence[str]) -> Fixed:
    recipe = with_files(read_mecha(path), files_from(models))
    parents = open_parents(recipe)
    types = {prediction.type for prediction in parents.predictions.values()}
    if prediction_type is None and len(types) > 1:
        raise BadInput(
            "The merge's prediction type is not known.",
            where="--prediction-type",
            why="its models predict different things",
            fix="Give epsilon or v_prediction.",
        )
    mode = prediction_type or types.pop()
    trained_down = any(p.zero_terminal_snr for p in parents.predictions.values())
    return Fixed(recipe, path.stem, mode, trained_down and mode == "v_prediction", {})


# -- what is said on the command line


def files_from(given: Sequence[str]) -> dict[str, Path]:
    """`NAME=FILE`, again and again."""
    pairs = [text.partition("=") for text in given]
    if wrong := next((name for name, is_said, file in pairs if not (name and is_said and file)), None):
        raise BadInput(f"--model {wrong} cannot be used.", fix="Write it as --model NAME=FILE.")
    return {name: Path(file) for name, _, file in pairs}


def with_files(recipe: Any, files: Mapping[str, Path]) -> Any:
    """The recipe with other files for some of its models and adapters."""
    models, adapters = dict(recipe.models), dict(recipe.adapters)
    for name, path in files.items():
        if name in models:
            models[name] = Model(path=path, prediction_type=models[name].prediction_type)
        elif name in adapters:
            adapters[name] = path
        else:
            known = ", ".join([*models, *adapters])
            raise BadInput(f"There is no model {name}.", where="--model", fix=f"There are {known}.")
    return recipe.model_copy(update={"models": models, "adapters": adapters})


def chosen_values(experiment: Experiment, given: Sequence[str]) -> dict[str, float]:
    """`[NAME=]VALUE` -> parameters; every searched number of the merge must be given once.

    The name is a parameter's, or a step's for its ratio; it may be left out where there is one only.
    """
    searched = [name for name in experiment.searched() if not name.startswith("render.")]
    steps = [step.name for step in experiment.merge]
    by_flag = {name: name for name in searched}
    by_flag |= {step: f"{step}.ratio" for step in steps if f"{step}.ratio" in searched}
    if place := experiment.places().get("ratio"):
        by_flag[steps[place[1]]] = "ratio"
    if len(searched) == 1:
        by_flag[""] = searched[0]
    found: dict[str, float] = {}
    for text in given:
        flag, _, value = text.rpartition("=")
        number = _number(value)
        if number is None or by_flag.get(flag, "") in ("", *found):
            raise BadInput(f"--ratio {text} cannot be used.", fix=f"Give {_flags(searched)}.")
        found[by_flag[flag]] = number
    if len(found) < len(searched):
        raise BadInput("A searched value is not given.", where="--ratio", fix=f"Give {_flags(searched)}.")
    return found


def _flags(searched: Sequence[str]) -> str:
    if not searched:
        return "no ratio at all"
    if len(searched) == 1:
        return "--ratio VALUE"
    return " ".join(f"--ratio {name.removesuffix('.ratio')}=VALUE" for name in searched)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _mode(experiment: Experiment, given: str | None) -> dict[str, str]:
    """The merge's marker keys follow its prediction type, so a searched one must be said."""
    searched = experiment.searched().get("render.prediction_type")
    if given is None and searched is None:
        return {}
    choices = searched or (experiment.render.prediction_type,)
    if given not in choices:
        raise BadInput(
            "The merge's prediction type is not known.",
            where="--prediction-type",
            fix=f"Give one of {', '.join(map(str, choices))}.",
        )
    return {"render.prediction_type": given}
