"""Each model of a pool as one reading of its file finds it: its identity, and the norms of its weights.

A file is gone through once, in the order in which it lies on disk. Its SHA-256 is taken from the same bytes
in a thread that is a little ahead, unless it is known from an earlier time.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gridsearch.checkpoint.family import FIRST_CONV, Family
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.identity import cached_sha256, identity_of
from gridsearch.checkpoint.ldm.keys import component_of
from gridsearch.checkpoint.ldm.recognise import architecture, family_of
from gridsearch.checkpoint.prediction import Prediction, read_prediction
from gridsearch.merge.engine.fingerprint import tensor_digest
from gridsearch.merge.engine.linear import single_threaded
from gridsearch.merge.pool.reading import read_ahead
from gridsearch.merge.pool.sketch import BUCKETS, sketch
from gridsearch.merge.pool.sums import weights_of

FILES_AT_ONCE = 8  # files, if there are as many cores; SHA-256 of so many is faster than disks are
OTHER = "weights"  # the part of a file that is none of SDXL's


@dataclass(frozen=True)
class PartFound:
    """A part of a model: the SHA-256 of its weights (in the sense of `tensor_digest`), and their sketch."""

    digest: str
    count: int
    squares: float
    sketch: np.ndarray


@dataclass(frozen=True)
class Surveyed:
    """A model of a pool.

    Attributes:
        parts: unet, te1, te2, vae, or `OTHER` of a file that has none of them.
        sizes: key -> the root mean square of its values.
        broken: key -> how many of its values are NaN or infinite.
    """

    name: str
    file: Checkpoint
    sha256: str
    family: str
    prediction: Prediction
    parts: Mapping[str, PartFound]
    sizes: Mapping[str, float]
    broken: Mapping[str, int]


def surveys(files: Mapping[str, Checkpoint], signs: Tensor, advance: Callable[[int], None]) -> list[Surveyed]:
    """Read models once each, by their names; `advance` is told the bytes of their weights."""
    at_once = min(FILES_AT_ONCE, torch.get_num_threads())
    with single_threaded(), ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda item: survey(item[0], item[1], signs, advance), files.items()))


def survey(name: str, file: Checkpoint, signs: Tensor, advance: Callable[[int], None]) -> Surveyed:
    """Read a model once; `advance` is told the bytes of its weights.

    A model in several files, or with weights that lie in its file in another shape, is read twice where its
    hash is not known.
    """
    found: list[_Sum] = []

    def read(path: Path, _: Callable[[int], None]) -> str:
        digest = hashlib.sha256(_head(path))
        found.append(_measured(file, signs, advance, digest.update))
        return digest.hexdigest()

    plain = not file.parts and not file.pieces
    sha256 = cached_sha256(file.path, read=read) if plain else identity_of(file)[0]
    own = found[0] if found else _measured(file, signs, advance)
    parts = {name: one.found() for name, one in own.parts.items()}
    return Surveyed(
        name, file, sha256, architecture(file), read_prediction(file), parts, own.sizes, own.broken
    )


def part_name(key: str, family: Family) -> str:
    """Return the name of the part that a weight counts to."""
    return component_of(key, family) or OTHER


# -- one reading


@dataclass
class _PartSum:
    digests: dict[str, bytes] = field(default_factory=dict)
    count: int = 0
    squares: float = 0.0
    sketch: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS))

    def found(self) -> PartFound:
        whole = hashlib.sha256()
        for key in sorted(self.digests):
            whole.update(key.encode() + b"\0" + self.digests[key])
        return PartFound(whole.hexdigest(), self.count, self.squares, self.sketch.astype(np.float32))


@dataclass
class _Sum:
    parts: dict[str, _PartSum] = field(default_factory=lambda: defaultdict(_PartSum))
    sizes: dict[str, float] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)


def _measured(
    file: Checkpoint,
    signs: Tensor,
    advance: Callable[[int], None],
    hashed: Callable[[memoryview], object] | None = None,
) -> _Sum:
    """Measure the weights of a file; `hashed` is given the bytes of all its tensors in their order."""
    weights, family, found = dict.fromkeys(weights_of(file)), family_of(file), _Sum()
    for some in read_ahead([file], list(file.tensors if hashed else weights), hashed):
        for key, (tensor,) in some.items():
            if key in weights:
                _add(found, part_name(key, family), key, tensor, signs)
            advance(file.tensors[key].bytes)
    return found


def _add(found: _Sum, name: str, key: str, tensor: Tensor, signs: Tensor) -> None:
    part, (own, squares, broken) = found.parts[name], sketch(key, tensor, signs)
    part.digests[key] = tensor_digest(tensor)
    part.count += tensor.numel()
    if key != FIRST_CONV:  # of which inpainting models have more, and no sketch to compare
        part.squares += squares
        part.sketch += own
    found.sizes[key] = math.sqrt(squares / tensor.numel())
    if broken:
        found.broken[key] = broken


def _head(path: Path) -> bytes:
    """Return the bytes of a file before its weights, which fill the rest of it without gaps."""
    with path.open("rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))
