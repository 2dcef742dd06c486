"""Write a merge as a single-file checkpoint, tensor by tensor, beside its place and then renamed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.errors import BadInput
from gridsearch.merge.files import Checkpoint, TensorInfo
from gridsearch.merge.linear import Source, blended
from gridsearch.merge.sources import DTYPES
from gridsearch.units import size

MARKERS = ("v_pred", "ztsnr")
_MARKER = TensorInfo("F32", (0,))


@dataclass(frozen=True)
class Target:
    """What the merged file says of itself."""

    title: str
    prediction_type: str
    zero_terminal_snr: bool
    steps: tuple[dict, ...]  # the merge steps with their ratios
    models: dict[str, dict]  # name -> path, sha256, ...
    versions: dict[str, str]


def export_merge(
    path: Path,
    first: Checkpoint,
    sources: Mapping[str, Source],
    mix: Mapping[str, float],
    target: Target,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the merge `mix` of `sources` to `path`, with the keys and dtypes of `first`.

    Integer and empty keys are copied from `first`. The marker keys follow the merge's prediction type and
    not the parents': a stray marker would make other programs sample the file in the wrong mode.

    Args:
        advance: told the bytes of each tensor written.
    """
    entries = {key: info for key, info in first.tensors.items() if key not in MARKERS}
    if target.prediction_type == "v_prediction":
        entries["v_pred"] = _MARKER
        if target.zero_terminal_snr:
            entries["ztsnr"] = _MARKER
    tensors = _tensors(entries, first, sources, mix)
    write_safetensors(path, entries, tensors, metadata_of(target), advance)


def _tensors(
    entries: Mapping[str, TensorInfo],
    first: Checkpoint,
    sources: Mapping[str, Source],
    mix: Mapping[str, float],
) -> Iterator[Tensor]:
    copied_from = next(iter(sources.values()))
    for key, info in entries.items():
        if key in MARKERS:
            yield torch.empty(0)
        elif info.merges:
            yield blended(sources, mix, key, DTYPES[info.dtype])
        else:
            yield copied_from.tensor(key)


def write_safetensors(
    path: Path,
    entries: Mapping[str, TensorInfo],
    tensors: Iterator[Tensor],
    metadata: Mapping[str, str],
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Stream tensors into a safetensors file; only one of them is in memory at a time.

    The library's own writer wants the whole state dict in memory.
    """
    head = safetensors_head(entries, metadata)
    needed, free = (
        len(head) + sum(info.bytes for info in entries.values()),
        shutil.disk_usage(path.parent).free,
    )
    if needed > free:
        raise BadInput(
            f"There is no room for a file of {size(needed)}.",
            where=path.parent,
            why=f"{size(free)} are free.",
        )
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(head)
            for info, tensor in zip(entries.values(), tensors, strict=True):
                file.write(_raw(tensor.to(DTYPES[info.dtype])))
                advance(info.bytes)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def safetensors_head(entries: Mapping[str, TensorInfo], metadata: Mapping[str, str]) -> bytes:
    """An 8-byte length and a JSON header, see https://github.com/huggingface/safetensors#format."""
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


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else memoryview(b"")


def metadata_of(target: Target) -> dict[str, str]:
    """The records that other programs read: A1111's and supermerger's recipe, and the model spec."""
    recipe = {
        "type": "gridsearch",
        "steps": target.steps,
        "models": sorted(target.models),
        "versions": target.versions,
    }
    models = {
        m["sha256"]: {"name": name, "legacy_hash": "", "sd_merge_recipe": None}
        for name, m in target.models.items()
    }
    return {
        "format": "pt",
        "sd_merge_recipe": json.dumps(recipe),
        "sd_merge_models": json.dumps(models),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": target.title,
        "modelspec.merged_from": ", ".join(Path(m["path"]).name for m in target.models.values()),
        "modelspec.prediction_type": "v" if target.prediction_type == "v_prediction" else "epsilon",
    }
