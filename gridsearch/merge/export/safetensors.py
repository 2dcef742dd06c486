"""The writing of a safetensors file tensor by tensor, to a temporary name that is then renamed.

The library's own writer wants the whole state dict in memory.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.base.words import size
from gridsearch.checkpoint.header import TensorInfo
from gridsearch.merge.engine.sources import DTYPES


def write_safetensors(
    path: Path,
    entries: Mapping[str, TensorInfo],
    tensors: Iterator[Tensor],
    metadata: Mapping[str, str],
    advance: Callable[[int], None] = lambda _: None,
) -> str:
    """Stream tensors into a safetensors file; return its SHA-256.

    The part has a fixed name, so that what a kill leaves behind is overwritten by the next try.

    Args:
        advance: told the bytes of each tensor written.
    """
    head = safetensors_head(entries, metadata)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    needed = len(head) + sum(info.bytes for info in entries.values())
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise BadInput(
            f"There is no room for a file of {size(needed)}.",
            where=path.parent,
            why=f"{size(free)} are free.",
        )
    try:
        with part.open("wb") as file:
            file.write(head)
            digest = hashlib.sha256(head)
            for info, tensor in zip(entries.values(), tensors, strict=True):
                raw = _raw(tensor.to(DTYPES[info.dtype]))
                file.write(raw)
                digest.update(raw)
                advance(info.bytes)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        return digest.hexdigest()
    finally:
        part.unlink(missing_ok=True)


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


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy().data) if flat.numel() else memoryview(b"")
