"""The sources of a merge's recipe: an experiment, a merge log, a merged checkpoint, a .mecha file."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.base.files import read_json_object, write_atomic
from gridsearch.base.words import is_number
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.model import family_at
from gridsearch.checkpoint.prediction import TYPES, takes_zero_snr
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.experiment.mecha.write import mecha_text
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.parameters import deciding_choices
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import least_and_most
from gridsearch.merge.channels import require_latents_alone
from gridsearch.merge.export.single import (
    KEY,
    MOST_LOG,
    MOST_TITLE,
    SingleMerge,
    gathered,
    merge_of_record,
    merge_of_trial,
    read_record,
    with_files,
)
from gridsearch.merge.parents import open_parents

MOST_OF_A_STEM = 40  # characters of a model's name, which is made of its file's


def open_merge(
    source: Path,
    values: Sequence[str] = (),
    prediction_type: str | None = None,
    models: Sequence[str] = (),
    config: Path | None = None,
) -> SingleMerge:
    """Return the merge that a file describes; a BadInput if it says too little, or too much was said.

    It is an experiment (.toml), a merge log (.json), a merged checkpoint (.safetensors) or a recipe of
    sd-mecha (.mecha).

    Args:
        values: `[NAME=]VALUE` for everything in it that is searched.
        prediction_type, config: of the merge, where the source leaves them open.
        models: `NAME=FILE` for files that are elsewhere than it says, `NAME.PART=FILE` for parts of a model.
    """
    files = files_from(models)
    if source.suffix == ".toml":
        experiment = _in_mode_given(load_experiment(source), prediction_type)
        chosen = chosen_values(experiment, values) | chosen_mode(experiment, prediction_type)
        merge = replace(
            merge_of_trial(experiment, chosen, files=files), notes=_beside_range(experiment, chosen)
        )
    elif values:
        fix = "Leave --ratio out, or name two models."
        raise BadInput("Nothing is searched there.", where=source, fix=fix)
    elif source.suffix == ".mecha":
        merge = _from_mecha(source, prediction_type, files)
    elif prediction_type:
        what = "The merge log already sets the prediction type."
        raise BadInput(what, where=source, fix="Leave --prediction-type out.")
    elif source.suffix == ".json":
        merge = _from_log(source, files)
    elif KEY in (metadata := open_checkpoint(source).metadata):
        merge = merge_of_record(read_record(metadata[KEY], source), gathered(files, {}), source)
    else:
        why = f"its metadata has no {KEY}"
        fix = "Name two models, an experiment file, a merge log or a .mecha recipe."
        raise BadInput("This checkpoint does not say how it was merged.", where=source, why=why, fix=fix)
    return replace(merge, config=config or merge.config)


def _from_log(path: Path, files: Mapping[str, Path]) -> SingleMerge:
    """Return the merge of a log, on the files that it names; relative paths in it start at its folder."""
    log = read_json_object(path, MOST_LOG, "merge log")
    try:
        paths = {str(name): _beside(path, file) for name, file in log.get("paths", {}).items()}
        config = path.parent / str(log["config"]) if log.get("config") else None
        text = json.dumps(log.get("record"))
        if "\0" in str(paths):
            raise ValueError("a path has a null character in it")
    except (ValueError, AttributeError) as error:
        raise BadInput("The merge log cannot be read.", where=path, why=str(error)) from None
    record = read_record(text, path)
    return replace(merge_of_record(record, {**paths, **gathered(files, paths)}, path), config=config)


def _beside(log: Path, file: Any) -> Any:
    """Return the path that a log names, or those of a model's parts; relative ones start at its folder."""
    if isinstance(file, dict):
        return {str(part): log.parent / str(one) for part, one in file.items()}
    return log.parent / str(file)


def _from_mecha(path: Path, prediction_type: str | None, files: Mapping[str, Path]) -> SingleMerge:
    notes: list[str] = []
    recipe = with_files(read_mecha(path, notes.append), files)
    return replace(_in_mode(recipe, path.stem, prediction_type), notes=tuple(notes))


def _in_mode(recipe: Recipe, title: str, prediction_type: str | None) -> SingleMerge:
    """Return the merge of a recipe; a BadInput where its models predict different things and none is said."""
    if prediction_type not in (None, *TYPES):
        what = f"There is no prediction type {prediction_type!r:.60}."
        raise BadInput(what, where="--prediction-type", fix=nearest_text(prediction_type, TYPES))
    predictions = open_parents(recipe).merged_predictions.values()
    types = {prediction.type for prediction in predictions}
    if prediction_type is None and len(types) > 1:
        what = "The merge's prediction type is not known."
        why = "its models predict different things"
        raise BadInput(what, where="--prediction-type", why=why, fix=f"Give {' or '.join(sorted(types))}.")
    mode = prediction_type or types.pop()
    trained_down = any(p.zero_terminal_snr for p in predictions)
    return SingleMerge(recipe, title[:MOST_TITLE], mode, trained_down and takes_zero_snr(mode), {})


def open_files(
    paths: Sequence[Path],
    method: str = "weighted_sum",
    values: Sequence[str] = (),
    prediction_type: str | None = None,
    config: Path | None = None,
) -> SingleMerge:
    """Return the merge of models by one method, at the ratio that `values` has, without an experiment.

    Raises:
        BadInput: the method takes other models or arguments, or the models do not fit.
    """
    names = model_names(paths)
    step: dict[str, Any] = {"method": method, "models": names}
    if values:
        step["ratio"] = _only_ratio(values)
    elif _needs_ratio(method):
        raise BadInput("The ratio is missing: 0 is the first model, 1 the second.", fix="Give --ratio 0.5.")
    models = dict(zip(names, map(str, paths), strict=True))
    data = {"family": family_at(paths[0]).name, "models": models, "merge": [step]}
    try:
        recipe = Recipe.model_validate(data)
    except pydantic.ValidationError as error:
        raise bad_key(error, "this merge, written as an experiment", {"": Recipe}) from None
    if values:
        _require_between(recipe.merge[0], step["ratio"], values[0])
    title = " ".join(["+".join(names), *(f"ratio {value}" for value in values)])
    return replace(_in_mode(recipe, title, prediction_type), config=config)


def _needs_ratio(method: str) -> bool:
    ratio = METHODS[method].model_fields.get("ratio") if method in METHODS else None
    return ratio is not None and ratio.is_required()


def _only_ratio(values: Sequence[str]) -> float:
    try:
        (text,) = values
        return float(text)
    except ValueError:
        what, fix = f"--ratio {' --ratio '.join(values)} cannot be used.", "Give one number from 0 to 1."
        if len(values) == 1 and (said := re.fullmatch(r"(\d+(?:[.,]\d+)?) ?(%?)", values[0])):
            fix += f" Did you mean {float(said[1].replace(',', '.')) / (100 if said[2] else 1):g}?"
        raise BadInput(what, fix=fix) from None


def _require_between(step: MergeStep, ratio: float, text: str) -> None:
    try:
        step.require_within(ratio, ratio)
    except ValueError as error:
        raise BadInput(f"--ratio {text} cannot be used.", why=f"{error}.") from None


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each model: of its file, of what a name may have, and all different."""
    found: list[str] = []
    for path in paths:
        stem = re.sub(r"[^\w-]+", "-", path.stem).strip("-")[:MOST_OF_A_STEM] or "model"
        taken = {*found, MERGED, VAE_FILE, "render"}
        numbered = (f"{stem}-{number}" for number in range(2, len(paths) + 2))
        found.append(stem if stem not in taken else next(name for name in numbered if name not in taken))
    return found


def write_recipe(merge: SingleMerge, output: Path) -> None:
    """Write the merge as sd-mecha's recipe, which looks for relative paths elsewhere."""
    if merge.dtype:
        fix = "Leave --dtype out, and give it to sd-mecha where that merges."
        raise BadInput(f"A recipe for sd-mecha does not say that it is written in {merge.dtype}.", fix=fix)
    require_latents_alone(merge.recipe, open_parents(merge.recipe).checkpoints)
    absolute = {
        name: model.model_copy(update={"path": model.path and model.path.resolve()})
        for name, model in merge.recipe.models.items()
    }
    write_atomic(output, mecha_text(merge.recipe.model_copy(update={"models": absolute})))


# -- the options of the command line: files, and the values of what is searched


def files_from(given: Sequence[str]) -> dict[str, Path]:
    """Parse `NAME=FILE` options."""
    pairs = [text.partition("=") for text in given]
    if wrong := next((name for name, is_said, file in pairs if not (name and is_said and file)), None):
        raise BadInput(f"--model {wrong} cannot be used.", fix="Write it as --model NAME=FILE.")
    return {name: Path(file) for name, _, file in pairs}


def chosen_values(experiment: Experiment, given: Sequence[str]) -> dict[str, float | str]:
    """Parse `[NAME=]VALUE` into parameters; every searched number and choice of the merge must be given once.

    The name is a parameter's, or a step's for its ratio; it may be left out where there is one only. A model
    is one of its list; a number may lie beside its range. What the chosen method does not take is not given.
    """
    among = {n: values for n, values in experiment.searched().items() if not n.startswith("render.")}
    searched = list(among)
    steps = [step.name for step in experiment.merge]
    by_flag = {name: name for name in searched}
    by_flag |= {step: f"{step}.ratio" for step in steps if f"{step}.ratio" in searched}
    if place := experiment.places().get("ratio"):
        by_flag[steps[place[1]]] = "ratio"
    if len(searched) == 1:
        by_flag[""] = searched[0]
    found: dict[str, float | str] = {}
    for text in given:
        flag, _, value = text.rpartition("=")
        name = by_flag.get(flag, "")
        chosen = _chosen(text, value, among[name]) if name in among and name not in found else None
        if chosen is None:
            raise BadInput(f"--ratio {text} cannot be used.", fix=f"Give {_flags(searched)}.")
        if is_number(chosen) and "ratio" in (place := experiment.places()[name]):
            _require_between(experiment.merge[place[1]], chosen, text)
        found[name] = chosen
    deciding = {name: found[name] for name in deciding_choices(experiment.places()) if name in found}
    vain = experiment.without_effect(deciding)
    if idle := [name for name in found if name in vain]:
        said = " and ".join(f"{name} {value}" for name, value in deciding.items())
        what = f"--ratio {idle[0]} changes nothing with {said}."
        raise BadInput(what, fix="Leave it out.")
    needed = [name for name in searched if name not in vain]
    if len(found) < len(needed):
        raise BadInput(
            "A value is missing for a searched parameter.", where="--ratio", fix=f"Give {_flags(needed)}."
        )
    return {name: found[name] for name in needed}  # in one order, whatever was typed first


def _beside_range(experiment: Experiment, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note for each number that the experiment does not search."""
    searched, notes = experiment.searched(), []
    for name, value in chosen.items():
        if is_number(value):
            least, most = least_and_most(searched[name])
            if not least <= value <= most:
                notes.append(f"{name} {value:g} lies outside of what is searched, {least:g} to {most:g}.")
    return tuple(notes)


def _chosen(text: str, value: str, among: Any) -> float | str | None:
    """Return a model's name or a number; None for anything else."""
    if isinstance(among, tuple) and isinstance(among[0], str):
        if value not in among:
            why = f"{value!r} is not in the list"
            raise BadInput(f"--ratio {text} cannot be used.", why=why, fix=nearest_text(value, among))
        return value
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _flags(searched: Sequence[str]) -> str:
    if not searched:
        return "no ratio at all"
    if len(searched) == 1:
        return "--ratio VALUE"
    return " ".join(f"--ratio {name.removesuffix('.ratio')}=VALUE" for name in searched)


def _in_mode_given(experiment: Experiment, given: str | None) -> Experiment:
    """Return an experiment that leaves the prediction type to its models in the one that is given."""
    if experiment.render.prediction_type is not None or given not in TYPES:
        return experiment
    render = experiment.render.model_copy(update={"prediction_type": given})
    return experiment.model_copy(update={"render": render})


def chosen_mode(experiment: Experiment, given: str | None) -> dict[str, str]:
    """Return the prediction type; a searched one must be given, as the merge's marker keys follow it."""
    searched = experiment.searched().get("render.prediction_type")
    if given is None and searched is None:
        return {}
    own = experiment.render.prediction_type
    choices = searched or (TYPES if own is None else (own,))
    if given is None or given not in choices:
        fix = f"Give one of {', '.join(map(str, choices))}."
        raise BadInput("The merge's prediction type is not known.", where="--prediction-type", fix=fix)
    return {"render.prediction_type": given}
