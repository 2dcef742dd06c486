"""A single merge, from an experiment's trial or from a record. Light: no weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.export.record import MOST_TITLE, Record
from gridsearch.merge.parents import mode_of_merge, open_parents

MOST_NAME = 200  # bytes; a file system takes 255, and a part's and a log's names are longer
FEW = 6  # values that a title names


@dataclass(frozen=True)
class SingleMerge:
    """A merge with nothing left to search.

    Attributes:
        known: model, adapter or "vae" -> the SHA-256 that its file must have, where that is known.
        config: component configs of another size than SDXL's, where the experiment names them.
    """

    recipe: Recipe
    title: str
    prediction_type: str
    zero_terminal_snr: bool
    known: Mapping[str, str]
    config: Path | None = None


def merge_of_trial(
    experiment: Experiment, parameters: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> SingleMerge:
    """Return an experiment's merge at these parameters."""
    fixed = experiment.at(parameters)
    settings = [f"{name} {_text(value)}" for name, value in parameters.items()]
    if len(settings) > FEW:
        settings = [f"at {len(settings)} values"]
    recipe = Recipe.model_validate({name: getattr(fixed, name) for name in Recipe.model_fields})
    prediction_type, zero_terminal_snr = mode_of_merge(fixed.render, open_parents(recipe))
    return SingleMerge(
        recipe,
        " ".join([experiment.name, *settings])[:MOST_TITLE],
        prediction_type,
        zero_terminal_snr,
        known or {},
        experiment.render.config,
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def merge_of_record(record: Record, paths: Mapping[str, Path], source: object) -> SingleMerge:
    """Return a recorded merge, on files found at `paths`.

    Raises:
        BadInput: a file is not named.
    """
    if stray := [name for name in paths if name not in record.files]:
        raise BadInput(
            f"The merge log has no model {stray[0]}.",
            where=source,
            fix=f"There are {', '.join(record.files)}.",
        )
    if absent := [name for name in record.files if name not in paths]:
        raise BadInput(
            f"The record does not say where {absent[0]} is.",
            where=source,
            why=f"its SHA-256 is {record.files[absent[0]]}",
            fix=f"Give its path: {' '.join(f'--model {name}=FILE' for name in absent)}",
        )
    recipe = record.recipe({name: str(path) for name, path in paths.items()})
    return SingleMerge(recipe, record.title, record.prediction_type, record.zero_terminal_snr, record.files)


def require_new_file(output: Path, merge: SingleMerge) -> None:
    """Refuse a place that cannot be written to, or a parent's own."""
    if not output.name:
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if output.suffix not in (".safetensors", ".mecha"):
        better = output.with_suffix(".safetensors").name
        raise BadInput("A merge is written as .safetensors.", where=output, fix=f"Use -o {better}.")
    if output.is_dir():
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if not output.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=output.parent, fix="Make it first.")
    if len(output.name.encode()) > MOST_NAME:
        raise BadInput("The name is too long.", where=output, fix=f"{MOST_NAME} bytes are enough for a name.")
    recipe = merge.recipe
    inputs = [*(model.path for model in recipe.models.values()), *recipe.adapters.values(), recipe.vae_file()]
    if any(path and output.resolve() == path.resolve() for path in inputs):
        raise BadInput("This would replace a model that is merged.", where=output, fix="Choose another name.")
