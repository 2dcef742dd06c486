"""Checkpoint files opened for their weights."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from gridsearch.merge.files import Checkpoint

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class FileSource:
    """A memory-mapped safetensors file: pages are read when first used and stay in the page cache."""

    path: Path
    _file: safe_open = field(repr=False)

    def tensor(self, key: str) -> Tensor:
        return self._file.get_tensor(key)


def open_source(path: Path) -> FileSource:
    return FileSource(path, safe_open(path, framework="pt", device="cpu"))


def dtypes_of(checkpoint: Checkpoint) -> dict[str, torch.dtype]:
    """Key -> the dtype it is stored in."""
    return {key: DTYPES[info.dtype] for key, info in checkpoint.tensors.items()}
