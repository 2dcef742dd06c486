"""A merge with nothing left to search as a single-file checkpoint, and its log beside it.

The file is written tensor by tensor in bounded memory.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.base.faults import file_fault
from gridsearch.base.files import write_atomic
from gridsearch.base.words import size
from gridsearch.checkpoint.header import TensorInfo, open_checkpoint
from gridsearch.checkpoint.ldm.keys import V_PREDICTION_MARKER, ZERO_SNR_MARKER
from gridsearch.checkpoint.ldm.recognise import own_keys
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.channels import channel_notes
from gridsearch.merge.dtypes import dtype_notes
from gridsearch.merge.engine.collapse import Terms, lent_by, recipe_text
from gridsearch.merge.engine.evaluate import Source
from gridsearch.merge.engine.sources import DTYPES
from gridsearch.merge.export.metadata import metadata_of
from gridsearch.merge.export.output import log_path
from gridsearch.merge.export.single import Record, SingleMerge, record_of
from gridsearch.merge.export.tensors import tensors_of
from gridsearch.merge.parents import Parents, identify, identify_extras, open_parents
from gridsearch.merge.vae import vae_notes
from gridsearch.merge.weights import Weights, adapter_notes, open_weights

_MARKER = TensorInfo("F32", (0,))


class Progress(Protocol):
    """A listener that is told the bytes read and written, and what an adapter changes."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]: ...

    def writing(self, name: str, total: int) -> Callable[[int], None]: ...

    def note(self, text: str) -> None: ...


class PairProgress(Protocol):
    """A listener that is told the bytes hashed, compared and written."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]: ...

    def comparing(self, name: str, total: int) -> Callable[[int], None]: ...

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
        raise file_fault(error, output) from error


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
    weights = open_weights(recipe, parents, merge.config, merge.dtype)
    notes = [note for checkpoint in parents.checkpoints.values() for note in checkpoint.notes]
    notes += channel_notes(recipe, parents.checkpoints) + vae_notes(recipe, parents.checkpoints)
    notes += dtype_notes(recipe, parents.checkpoints, merge.dtype)
    for note in [*merge.notes, *notes, *adapter_notes(weights.adapters)]:
        progress.note(note)
    parts = {
        name: {one["part"]: one["sha256"] for one in model["files"]}
        for name, model in models.items()
        if "files" in model
    }
    record = record_of(merge, {name: model["sha256"] for name, model in models.items()}, parts)
    terms = weights.terms(recipe)
    first = recipe.merged_models()[0]  # whose keys are copied where no other lends them
    sha256 = export_merge(
        output,
        weights.infos,
        terms,
        weights.sources,
        {key: weights.files[lent_by(recipe, key) or first] for key in weights.infos if key not in terms},
        record,
        {name: file.metadata for name, file in {**parents.checkpoints, **parents.extras}.items()},
        progress.writing(output.name, sum(info.bytes for info in weights.infos.values())),
        weights.kept(recipe),
    )
    log = {
        "file": output.name,
        "sha256": sha256,
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "merge": recipe_text(recipe, terms),
        "record": json.loads(record.to_json()),
        "paths": _paths(recipe, models),
        "config": merge.config and str(merge.config.absolute()),
        **_found(parents, weights),
        "versions": {package: version(package) for package in ("gridsearch", "torch", "sd-mecha")},
    }
    write_atomic(log_path(output), json.dumps(log, indent=2, ensure_ascii=False) + "\n")
    return sha256


def _paths(recipe: Recipe, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return where each file is, absolute; of a model in parts, where each of them is."""
    found: dict[str, Any] = {name: str(Path(model["path"]).absolute()) for name, model in models.items()}
    for name, model in recipe.models.items():
        if name in found and isinstance(model.place, dict):
            found[name] = {part: str(path.absolute()) for part, path in model.place.items()}
    return found


def _found(parents: Parents, weights: Weights) -> dict[str, Any]:
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


# -- the file


def export_merge(
    path: Path,
    infos: Mapping[str, TensorInfo],
    terms: Mapping[str, Terms],
    sources: Mapping[str, Source],
    copied_from: Mapping[str, Source],
    record: Record,
    histories: Mapping[str, Mapping[str, str]],
    advance: Callable[[int], None] = lambda _: None,
    kept: Mapping[str, Terms] = MappingProxyType({}),
) -> str:
    """Write a merge to `path`; returns the SHA-256 of the file.

    The marker keys follow the merge's prediction type and not the parents': a stray marker would make other
    programs sample the file in the wrong mode.

    Args:
        infos: the file's keys without markers (see `outline`).
        terms: what the keys that are merged hold.
        copied_from: the source of each key that is not merged.
        histories: the metadata of each file in the record.
        advance: told the bytes of each tensor written.
        kept: what the input channels hold that not all models have (see `gridsearch.merge.channels`).

    Raises:
        BadInput: a source holds a NaN or an infinity where it is used; the disk is full.
        RunFailed: the merge itself leaves what the file's precision can hold.
    """
    entries = dict(infos)
    if record.prediction_type == "v_prediction":
        entries[V_PREDICTION_MARKER] = _MARKER
        if record.zero_terminal_snr:
            entries[ZERO_SNR_MARKER] = _MARKER
    tensors = tensors_of(entries, terms, sources, copied_from, kept)
    return write_safetensors(path, entries, tensors, metadata_of(record, histories), advance)


def write_safetensors(
    path: Path,
    entries: Mapping[str, TensorInfo],
    tensors: Iterator[Tensor],
    metadata: Mapping[str, str],
    advance: Callable[[int], None] = lambda _: None,
) -> str:
    """Stream tensors into a safetensors file, of which the library's own writer wants all in memory.

    The part has a fixed name, so that what a kill leaves behind is overwritten by the next try. `advance` is
    told the bytes of each tensor written. Returns the SHA-256 of the file.
    """
    head = safetensors_head(entries, metadata)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    needed = len(head) + sum(info.bytes for info in entries.values())
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        what = f"There is no room for a file of {size(needed)}."
        raise BadInput(what, where=path.parent, why=f"{size(free)} are free.")
    try:
        with part.open("wb") as file:
            file.write(head)
            digest = hashlib.sha256(head)
            for info, tensor in zip(entries.values(), tensors, strict=True):
                flat = tensor.to(DTYPES[info.dtype]).contiguous().reshape(-1)
                raw = flat.view(torch.uint8).numpy().data if flat.numel() else b""
                file.write(raw)
                digest.update(raw)
                advance(info.bytes)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        return digest.hexdigest()
    finally:
        part.unlink(missing_ok=True)


def is_made_by(path: Path, mark: str) -> bool:
    """Return whether a file was written here by the command that leaves this key in its metadata."""
    try:
        return mark in open_checkpoint(path).metadata
    except BadInput:
        return False


def safetensors_head(entries: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """Return an 8-byte length and a JSON header, see https://github.com/huggingface/safetensors#format."""
    header: dict = {"__metadata__": dict(metadata)}
    offset = 0
    for key, info in entries.items():
        header[key] = {
            "dtype": info.dtype,
            "shape": info.shape,
            "data_offsets": [offset, offset + info.bytes],
        }
        offset += info.bytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded
