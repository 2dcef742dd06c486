"""Checkpoint files opened for their weights."""

from dataclasses import dataclass, field
from pathlib import Path

from safetensors import safe_open
from torch import Tensor


@dataclass(frozen=True)
class FileSource:
    """A memory-mapped safetensors file: pages are read when first used and stay in the page cache."""

    path: Path
    _file: safe_open = field(repr=False)

    def tensor(self, key: str) -> Tensor:
        return self._file.get_tensor(key)


def open_source(path: Path) -> FileSource:
    return FileSource(path, safe_open(path, framework="pt", device="cpu"))
