"""A merge with nothing left to search as a checkpoint file, and its log beside it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from gridsearch.errors import BadInput
from gridsearch.experiment import Experiment
from gridsearch.files import write_atomic
from gridsearch.merge.collapse import lender, recipe_text
from gridsearch.merge.export import Parent, export_merge
from gridsearch.merge.identity import sha256_of
from gridsearch.merge.mecha.text import write_mecha
from gridsearch.merge.outline import own_keys
from gridsearch.merge.record import VAE, Record, record_of
from gridsearch.parents import Parents, identify, identify_extras, open_parents, sampling_of
from gridsearch.recipe import Recipe
from gridsearch.weights import open_weights


class Progress(Protocol):
    """Who is told the bytes of what is being read and written."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]: ...

    def writing(self, name: str, total: int) -> Callable[[int], None]: ...


@dataclass(frozen=True)
class Fixed:
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


def fixed_trial(
    experiment: Experiment, parameters: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> Fixed:
    """An experiment's merge at these parameters."""
    fixed = experiment.at(parameters)
    sampling = sampling_of(fixed.render, open_parents(fixed))
    settings = [f"{name} {_text(value)}" for name, value in parameters.items()]
    recipe = Recipe.model_validate({name: getattr(fixed, name) for name in Recipe.model_fields})
    return Fixed(
        recipe,
        " ".join([experiment.name, *settings]),
        sampling.prediction_type,
        sampling.zero_terminal_snr,
        known or {},
        experiment.render.config,
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def fixed_record(record: Record, paths: Mapping[str, Path], source: object) -> Fixed:
    """A recorded merge, on files found at `paths`.

    Raises:
        BadInput: a file is not named.
    """
    if absent := [name for name in record.files if name not in paths]:
        raise BadInput(
            f"The record does not say where {absent[0]} is.",
            where=source,
            why=f"its SHA-256 is {record.files[absent[0]]}",
            fix=f"Say it: {' '.join(f'--model {name}=FILE' for name in absent)}",
        )
    recipe = record.recipe({name: str(path) for name, path in paths.items()})
    return Fixed(recipe, record.title, record.prediction_type, record.zero_terminal_snr, record.files)


def export(merge: Fixed, output: Path, progress: Progress) -> str:
    """Write the merge to `output`, and beside it a log that says how to make it again.

    Returns:
        the SHA-256 of the new file; the same for the same merge of the same files, whatever they are called.

    Raises:
        BadInput: a file is missing, does not fit, or is not the one that is known.
    """
    began = time.time()
    parents = open_parents(merge.recipe)
    inputs = _files(parents)
    require_new_file(output, [file.path for file in inputs.values()])
    models = identify(parents, progress.hashing) | identify_extras(parents, progress.hashing)
    _require_known(models, merge.known)
    weights = open_weights(merge.recipe, parents, merge.config)
    files = {name: model["sha256"] for name, model in models.items()}
    record = record_of(merge.recipe, merge.title, merge.prediction_type, merge.zero_terminal_snr, files)
    terms = weights.terms(merge.recipe)
    export_merge(
        output,
        weights.infos,
        terms,
        weights.sources,
        {key: weights.files[lender(merge.recipe, key)] for key in weights.infos if key not in terms},
        record,
        {name: Parent(files[name], inputs[name].metadata) for name in files},
        progress.writing(output.name, sum(info.bytes for info in weights.infos.values())),
    )
    sha256 = sha256_of(output, progress.hashing(output.name, output.stat().st_size))
    log = {
        "file": output.name,
        "sha256": sha256,
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "merge": recipe_text(merge.recipe, terms),
        "record": json.loads(record.to_json()),
        "paths": {name: model["path"] for name, model in models.items()},
        "keys": {"merged": len(terms), "copied": len(weights.infos) - len(terms)},
        "left_out": sorted(set(parents.first.tensors) - set(own_keys(parents.first))),
        "adapters": {name: _adapter_log(adapter) for name, adapter in weights.adapters.items()},
        "versions": {package: version(package) for package in ("gridsearch", "torch", "sd-mecha")},
    }
    write_atomic(log_path(output), json.dumps(log, indent=2, ensure_ascii=False) + "\n")
    return sha256


def write_recipe(merge: Fixed, output: Path) -> None:
    """Write the merge as sd-mecha's recipe, which looks for relative paths elsewhere."""
    absolute = {
        name: model.model_copy(update={"path": model.path.resolve()})
        for name, model in merge.recipe.models.items()
    }
    require_folder(output)
    write_mecha(merge.recipe.model_copy(update={"models": absolute}), output)


def log_path(output: Path) -> Path:
    """`best.safetensors` -> `best.merge.json`."""
    return output.with_suffix(".merge.json")


def require_new_file(output: Path, parents: Sequence[Path]) -> None:
    """Refuse a place that cannot be written to, or a parent's own."""
    if output.suffix != ".safetensors":
        better = output.with_suffix(".safetensors").name
        raise BadInput("A merge is written as .safetensors.", where=output, fix=f"Use -o {better}.")
    require_folder(output)
    if any(output.resolve() == parent.resolve() for parent in parents):
        raise BadInput("This would replace a model that is merged.", where=output, fix="Choose another name.")


def require_folder(output: Path) -> None:
    """Refuse a place in a folder that is not there."""
    if not output.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=output.parent, fix="Make it first.")


def _require_known(models: Mapping[str, Mapping[str, Any]], known: Mapping[str, str]) -> None:
    for name, model in models.items():
        if name in known and known[name] != model["sha256"]:
            raise BadInput(
                f"{name} is not the file that was merged.",
                where=model["path"],
                why=f"SHA-256 {known[name][:10]}... then, {model['sha256'][:10]}... now.",
                fix=f"Put the original file back, or say where it is: --model {name}=FILE",
            )


def _files(parents: Parents) -> dict[str, Any]:
    return {**parents.checkpoints, **parents.adapters, **({VAE: parents.vae} if parents.vae else {})}


def _adapter_log(adapter: Any) -> dict:
    return {
        "modules_matched": adapter.matched,
        "weights_changed": len(adapter.deltas),
        "kinds": dict(adapter.kinds),
        "unused_keys": list(adapter.unused),
    }
