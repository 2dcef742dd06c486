"""The sources of a merge's recipe: an experiment, a merge log, a merged checkpoint, a .mecha file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object, write_atomic
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.experiment.experiment import load_experiment
from gridsearch.merge.export.options import chosen_mode, chosen_values, files_from, with_files
from gridsearch.merge.export.record import KEY, Record, read_record
from gridsearch.merge.export.single import SingleMerge, merge_of_record, merge_of_trial
from gridsearch.merge.mecha.read import read_mecha
from gridsearch.merge.mecha.write import mecha_text
from gridsearch.merge.parents import open_parents

MOST_LOG = 4_000_000  # bytes


def open_merge(
    source: Path,
    values: Sequence[str] = (),
    prediction_type: str | None = None,
    models: Sequence[str] = (),
    config: Path | None = None,
) -> SingleMerge:
    """Return the merge that a file describes.

    Args:
        source: an experiment (.toml), a merge log (.json), a merged checkpoint (.safetensors) or a recipe of
            sd-mecha (.mecha).
        values: `[NAME=]VALUE` for everything in it that is searched.
        prediction_type: of the merge, where the source leaves it open.
        models: `NAME=FILE` for files that are elsewhere than it says.
        config: component configs of another size than SDXL's, where the source does not name them.

    Raises:
        BadInput: it says too little, or too much was said.
    """
    fixed = _opened(source, values, prediction_type, models)
    return replace(fixed, config=config or fixed.config)


def _opened(
    source: Path, values: Sequence[str], prediction_type: str | None, models: Sequence[str]
) -> SingleMerge:
    files = files_from(models)
    if source.suffix == ".toml":
        experiment = with_files(load_experiment(source), files)
        chosen = chosen_values(experiment, values) | chosen_mode(experiment, prediction_type)
        return merge_of_trial(experiment, chosen)
    if values:
        raise BadInput("Nothing is searched there.", where=source, fix="Leave --ratio out.")
    if source.suffix == ".mecha":
        return _from_mecha(source, prediction_type, files)
    if prediction_type:
        raise BadInput(
            "The merge log already sets the prediction type.",
            where=source,
            fix="Leave --prediction-type out.",
        )
    if source.suffix == ".json":
        return _from_log(source, files)
    return merge_of_record(_read_checkpoint(source), files, source)


def _from_log(path: Path, files: Mapping[str, Path]) -> SingleMerge:
    """Return the merge of a log, on the files that it names; relative paths in it start at its folder."""
    log = read_json_object(path, MOST_LOG, "merge log")
    try:
        paths = {str(name): path.parent / str(file) for name, file in log.get("paths", {}).items()}
        config = path.parent / str(log["config"]) if log.get("config") else None
        text = json.dumps(log.get("record"))
        if any("\0" in str(path) for path in paths.values()):
            raise ValueError("a path has a null character in it")
    except (ValueError, AttributeError) as error:
        raise BadInput("The merge log cannot be read.", where=path, why=str(error)) from None
    return replace(merge_of_record(read_record(text, path), {**paths, **files}, path), config=config)


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


def _from_mecha(path: Path, prediction_type: str | None, files: Mapping[str, Path]) -> SingleMerge:
    recipe = with_files(read_mecha(path), files)
    parents = open_parents(recipe)
    predictions = parents.merged_predictions.values()
    types = {prediction.type for prediction in predictions}
    if prediction_type is None and len(types) > 1:
        raise BadInput(
            "The merge's prediction type is not known.",
            where="--prediction-type",
            why="its models predict different things",
            fix="Give epsilon or v_prediction.",
        )
    mode = prediction_type or types.pop()
    trained_down = any(p.zero_terminal_snr for p in predictions)
    return SingleMerge(recipe, path.stem, mode, trained_down and mode == "v_prediction", {})


def write_recipe(merge: SingleMerge, output: Path) -> None:
    """Write the merge as sd-mecha's recipe, which looks for relative paths elsewhere."""
    absolute = {
        name: model.model_copy(update={"path": model.path.resolve()})
        for name, model in merge.recipe.models.items()
    }
    write_atomic(output, mecha_text(merge.recipe.model_copy(update={"models": absolute})))
