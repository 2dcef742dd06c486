"""The sources of a merge's recipe: an experiment, a merge log, a merged checkpoint, a .mecha file."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.base.files import read_json_object, write_atomic
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.model import family_at
from gridsearch.checkpoint.prediction import TYPES, takes_zero_snr
from gridsearch.experiment.experiment import load_experiment
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.experiment.mecha.write import mecha_text
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.merge.channels import require_latents_alone
from gridsearch.merge.export.options import (
    beside_range,
    chosen_mode,
    chosen_values,
    files_from,
    in_mode_given,
    only_ratio,
    require_between,
)
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
        experiment = in_mode_given(load_experiment(source), prediction_type)
        chosen = chosen_values(experiment, values) | chosen_mode(experiment, prediction_type)
        merge = replace(
            merge_of_trial(experiment, chosen, files=files), notes=beside_range(experiment, chosen)
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
        step["ratio"] = only_ratio(values)
    elif _needs_ratio(method):
        raise BadInput("The ratio is missing: 0 is the first model, 1 the second.", fix="Give --ratio 0.5.")
    models = dict(zip(names, map(str, paths), strict=True))
    data = {"family": family_at(paths[0]).name, "models": models, "merge": [step]}
    try:
        recipe = Recipe.model_validate(data)
    except pydantic.ValidationError as error:
        raise bad_key(error, "this merge, written as an experiment", {"": Recipe}) from None
    if values:
        require_between(recipe.merge[0], step["ratio"], values[0])
    title = " ".join(["+".join(names), *(f"ratio {value}" for value in values)])
    return replace(_in_mode(recipe, title, prediction_type), config=config)


def _needs_ratio(method: str) -> bool:
    ratio = METHODS[method].model_fields.get("ratio") if method in METHODS else None
    return ratio is not None and ratio.is_required()


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
