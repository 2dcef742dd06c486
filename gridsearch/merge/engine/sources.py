"""Checkpoint files as sources of weights: mapped, read through once, and loaded where they are fastest."""

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.mapped import mapped
from gridsearch.merge.engine.linear import greatest

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
READ_AT_ONCE = 2**24  # elements


@dataclass(frozen=True)
class LoadedSource:
    """Weights by file key, wherever they lie."""

    tensors: Mapping[str, Tensor]

    def tensor(self, key: str) -> Tensor:
        return self.tensors[key]


@dataclass(frozen=True)
class FileSource:
    """A checkpoint's files, memory-mapped once a weight is asked for.

    Their pages are read when they are first used, and stay in the page cache.
    """

    header: Checkpoint

    @cached_property
    def _mapped(self) -> tuple[Mapping[str, Tensor], Mapping[Path, os.stat_result]]:
        """Map all tensors: asking safetensors for one again and again would cost as much as merging it."""
        try:
            found = {path: path.stat() for path in self.header.files}
        except OSError as error:
            what = "The checkpoint cannot be read."
            raise BadInput(what, where=error.filename, why=error.strerror) from None
        return mapped(self.header), found

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Return all weights; a BadInput if a file is no whole safetensors file.

        A RunFailed if one was cut short meanwhile: to read a page that is gone would end the process.
        """
        tensors, stats = self._mapped
        for path in stats:
            self._require_whole(path)
        return tensors

    def tensor(self, key: str) -> Tensor:
        """Return a weight; the errors are those of `tensors`."""
        self._require_whole(self.header.file_of(key))
        return self._mapped[0][key]

    def _require_whole(self, path: Path) -> None:
        before = self._mapped[1][path]
        try:
            found = path.stat()
        except OSError:
            return  # a file that is gone, or was replaced, is still mapped whole
        if found.st_ino == before.st_ino and found.st_size < before.st_size:
            what = "A model's file was truncated while in use."
            why = f"{found.st_size:,} of {before.st_size:,} bytes are left"
            fix = "Copy the file again, and do not write over it while a run goes on."
            raise RunFailed(what, where=path, why=why, fix=fix)


# -- read through once


def greatest_values(
    source: FileSource, keys: Collection[str], advance: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """Return the largest absolute value of each key's tensor, for which the whole file is read once.

    So the file's pages are in memory before the first trial, and a broken file is found before the night:
    a NaN or an infinity is a BadInput. `advance` is told the bytes of each piece read.
    """
    own = source.header
    return {key: greatest_value(source.tensor(key), own.file_of(key), key, advance) for key in keys}


def greatest_value(
    tensor: Tensor, path: Path, key: str, advance: Callable[[int], None] = lambda _: None
) -> float:
    """Return the largest absolute value in a tensor of floats, with the errors of `greatest_values`."""
    found = 0.0
    for part in tensor.reshape(-1).split(READ_AT_ONCE):
        found = max(found, here) if math.isfinite(here := greatest(part)) else math.nan
        if not math.isfinite(found):
            why = "every merge with this model would render black images."
            fix = "Download or make the file again, or leave the model out."
            raise BadInput(f"{key} holds a NaN or an infinity.", where=path, why=why, fix=fix)
        advance(part.numel() * tensor.element_size())
    return found


# -- where they are held


@dataclass(frozen=True)
class Residence:
    """The place of the sources during a run. Sizes in bytes.

    Attributes:
        where: "gpu", "pinned" (page-locked memory, from which a GPU copies while it computes) or "mapped"
            (files in the system's page cache).
        fits: whether they stay there; a mapped file that does not fit is read from disk every trial.
        changes: what steps make that nothing searched changes, if all of it is kept.
        room: for these, where the live model is.
    """

    where: str
    sources: int
    fits: bool
    changes: int = 0
    room: int = 0

    @property
    def kept(self) -> int:
        """Return the bytes of such changes that are kept between trials."""
        return min(self.changes, self.room)

    @property
    def left_over(self) -> int:
        """Return the bytes of those for which there is no room."""
        return self.changes - self.kept

    @property
    def pinned(self) -> int:
        return int(PINNED_SHARE * self.sources) if self.where == "pinned" else 0

    @property
    def on_gpu(self) -> int:
        return self.sources if self.where == "gpu" else 0

    def __str__(self) -> str:
        if self.where == "gpu":
            return "on the GPU"
        if self.where == "pinned":
            return "in page-locked memory, copied to the GPU while it computes"
        return "mapped files, kept in memory" if self.fits else "mapped files, read from disk every trial"


# The allocator of page-locked memory rounds each tensor up to a power of two: SDXL's take 1.3 times as much.
PINNED_SHARE = 1.3


def residence(sources: int, changes: int, device: str, memory_free: int, gpu_free: int) -> Residence:
    """Return the best place for sources of so many bytes beside the live model, whose memory is not free.

    A fifth of what is free is left to others. Changes are kept in what the sources leave of the rest. Sources
    that do not fit leave them half of it: once a change is kept, only its first source is read again.
    """
    memory, gpu = int(0.8 * memory_free), int(0.8 * gpu_free)
    if device == "cuda" and sources <= gpu:
        return Residence("gpu", sources, True, changes, gpu - sources)
    if device == "cuda" and PINNED_SHARE * sources <= memory:
        return Residence("pinned", sources, True, changes, gpu)
    fits = sources <= memory
    room = gpu if device == "cuda" else memory - sources if fits else memory // 2
    return Residence("mapped", sources, fits, changes, max(room, 0))


def placed(
    source: FileSource, keys: Collection[str], place: Residence, device: str
) -> FileSource | LoadedSource:
    """Load these weights of a source to their place; the others stay in its file."""
    if place.where == "mapped":
        return source
    own = {key: source.tensor(key) for key in keys}
    moved = {key: one.to(device) if place.where == "gpu" else one.pin_memory() for key, one in own.items()}
    return LoadedSource({**source.tensors, **moved})
