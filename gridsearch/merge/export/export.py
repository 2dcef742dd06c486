"""A merge with nothing left to search as a checkpoint file, and its log beside it."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.files import write_atomic
from gridsearch.checkpoint.sdxl.recognise import own_keys
from gridsearch.merge.engine.collapse import lent_by, recipe_text
from gridsearch.merge.export.checkpoint import Parent, export_merge
from gridsearch.merge.export.single import SingleMerge, record_of
from gridsearch.merge.parents import Parents, identify, identify_extras, open_parents
from gridsearch.merge.weights import Weights, open_weights


class Progress(Protocol):
    """A listener that is told the bytes read and written."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]: ...

    def writing(self, name: str, total: int) -> Callable[[int], None]: ...


def export(merge: SingleMerge, output: Path, progress: Progress) -> str:
    """Write the merge to `output`, and beside it a log that says how to make it again.

    Returns:
        the SHA-256 of the new file; the same for the same merge of the same files, whatever they are called.

    Raises:
        BadInput: a file is missing, does not fit, or is not the one that is known.
        RunFailed: a file could not be read or written.
    """
    try:
        return _written(merge, output, progress)
    except OSError as error:
        raise RunFailed("A file could not be read or written.", where=output, why=str(error)) from error


def _written(merge: SingleMerge, output: Path, progress: Progress) -> str:
    began = time.time()
    recipe, parents = merge.recipe, open_parents(merge.recipe)
    models = identify(parents, progress.hashing) | identify_extras(parents, progress.hashing)
    for name, model in models.items():
        known = merge.known.get(name, model["sha256"])
        if known != model["sha256"]:
            why = f"SHA-256 {known[:10]}... then, {model['sha256'][:10]}... now."
            fix = f"Put the original file back, or say where it is: --model {name}=FILE"
            raise BadInput(f"{name} is not the file that was merged.", where=model["path"], why=why, fix=fix)
    weights = open_weights(recipe, parents, merge.config)
    files = {name: model["sha256"] for name, model in models.items()}
    inputs = {**parents.checkpoints, **parents.extras}
    record = record_of(merge, files)
    terms = weights.terms(recipe)
    first = recipe.merged_models()[0]  # whose keys are copied where no other lends them
    sha256 = export_merge(
        output,
        weights.infos,
        terms,
        weights.sources,
        {key: weights.files[lent_by(recipe, key) or first] for key in weights.infos if key not in terms},
        record,
        {name: Parent(files[name], inputs[name].metadata) for name in files},
        progress.writing(output.name, sum(info.bytes for info in weights.infos.values())),
    )
    log = {
        "file": output.name,
        "sha256": sha256,
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "merge": recipe_text(recipe, terms),
        "record": json.loads(record.to_json()),
        "paths": {name: str(Path(model["path"]).absolute()) for name, model in models.items()},
        "config": merge.config and str(merge.config.absolute()),
        **_found(parents, weights),
        "versions": {package: version(package) for package in ("gridsearch", "torch", "sd-mecha")},
    }
    write_atomic(log_path(output), json.dumps(log, indent=2, ensure_ascii=False) + "\n")
    return sha256


def _found(parents: Parents, weights: Weights) -> dict[str, Any]:
    """Return the parts of the files that were merged, copied and left out."""
    return {
        "keys": {"merged": len(weights.merged), "copied": len(weights.infos) - len(weights.merged)},
        "left_out": sorted(set(parents.first.tensors) - set(own_keys(parents.first))),
        "adapters": {
            name: {
                "modules_matched": adapter.matched,
                "weights_changed": len(adapter.deltas),
                "kinds": dict(adapter.kinds),
                "unused_keys": list(adapter.unused),
            }
            for name, adapter in weights.adapters.items()
        },
    }


def log_path(output: Path) -> Path:
    """Return `best.merge.json` for `best.safetensors`."""
    return output.with_suffix(".merge.json")
