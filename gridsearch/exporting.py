"""The merge of one set of parameters as a checkpoint file."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from gridsearch import store
from gridsearch.errors import BadInput
from gridsearch.experiment import Experiment
from gridsearch.merge.export import Target, export_merge
from gridsearch.merge.files import sha256_of
from gridsearch.merge.recipe import coefficients
from gridsearch.merge.sources import open_source
from gridsearch.parents import identify, open_parents, sampling_of


class Progress(Protocol):
    """Who is told the bytes of what is being read and written."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]: ...

    def writing(self, name: str, total: int) -> Callable[[int], None]: ...


def export_trial(
    experiment: Experiment,
    parameters: Mapping[str, Any],
    output: Path,
    known: Mapping[str, str] | None,
    progress: Progress,
) -> str:
    """Write the merge at `parameters` to `output`.

    Args:
        known: model -> the SHA-256 it had when the trial ran, or None.

    Returns:
        the SHA-256 of the new file.

    Raises:
        BadInput: a model is missing, does not fit, or is not the one that the trial used.
    """
    fixed = experiment.at(parameters)
    parents = open_parents(fixed)
    require_new_file(output, [checkpoint.path for checkpoint in parents.checkpoints.values()])
    models = identify(parents, progress.hashing)
    for name, model in models.items():
        if known and known[name] != model["sha256"]:
            raise BadInput(
                f"{name} is no longer the file that this run merged.",
                where=model["path"],
                why=f"SHA-256 {known[name][:10]}... then, {model['short_hash']}... now.",
                fix="Put the original file back.",
            )
    sampling = sampling_of(fixed.render, parents)
    target = Target(
        title=output.stem,
        prediction_type=sampling.prediction_type,
        zero_terminal_snr=sampling.zero_terminal_snr,
        steps=tuple(store.json_safe(step.model_dump()) for step in fixed.merge),
        models=models,
        versions={"gridsearch": version("gridsearch")},
    )
    sources = {name: open_source(checkpoint.path) for name, checkpoint in parents.checkpoints.items()}
    total = sum(info.bytes for info in parents.first.tensors.values())
    advance = progress.writing(output.name, total)
    export_merge(output, parents.first, sources, coefficients(fixed.merge), target, advance)
    return sha256_of(output, progress.hashing(output.name, output.stat().st_size))


def require_new_file(output: Path, parents: Sequence[Path]) -> None:
    """Refuse a place that cannot be written to, or a parent's own."""
    if output.suffix != ".safetensors":
        better = output.with_suffix(".safetensors").name
        raise BadInput("A merge is written as .safetensors.", where=output, fix=f"Use -o {better}.")
    if not output.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=output.parent, fix="Make it first.")
    if any(output.resolve() == parent.resolve() for parent in parents):
        raise BadInput("This would replace a model that is merged.", where=output, fix="Choose another name.")
