"""Sums of products of several models' weights, part by part, for which each file is read once.

The files are read side by side, one weight after the other, so no model need fit into memory.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.recognise import merged_keys, own_keys
from gridsearch.merge.engine.formulas.products import products
from gridsearch.merge.engine.linear import single_threaded
from gridsearch.merge.engine.sources import DTYPES
from gridsearch.merge.pool.reading import read_ahead

# The error of rounding is a step / sqrt(12) (root mean square). A step is eps times the lower end of a
# value's octave, and the value is 1.5 times that end on average (again of squares).
_OF_EPS = 1 / (1.5 * math.sqrt(12))


class PoolProgress(Protocol):
    """A listener that is told the bytes that are read, or compared."""

    def reading(self, name: str, total: int) -> Callable[[int], None]: ...

    def comparing(self, name: str, total: int) -> Callable[[int], None]: ...


@dataclass(frozen=True)
class Sums:
    """The sums of products over the weights of a part.

    Attributes:
        gram: of the first model's weights, and of the differences of the others from it, in that order.
        count: how many numbers it has.
        rounding: the square of the norm of what rounding took from the last model's weights, about.
    """

    gram: np.ndarray
    count: int
    rounding: float

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.gram + other.gram, self.count + other.count, self.rounding + other.rounding)


@dataclass(frozen=True)
class Shared:
    """The weights that models have in common, and why others are left out: a sentence, and their keys."""

    keys: tuple[str, ...]
    left_out: Mapping[str, tuple[str, ...]]


def shared_weights(models: Mapping[str, Checkpoint]) -> Shared:
    """Return the floating-point weights that every model has, in one shape; models by their names."""
    (first_name, first), *others = models.items()
    keys, left_out = [], defaultdict(list)
    for key in weights_of(first):
        for name, other in others:
            if key not in other.tensors or not other.tensors[key].merges:
                left_out[f"{name} lacks"].append(key)
                break
            if other.tensors[key].shape != first.tensors[key].shape:
                left_out[f"{name} has in another shape than {first_name}"].append(key)
                break
        else:
            keys.append(key)
    return Shared(tuple(keys), {why: tuple(found) for why, found in left_out.items()})


def weights_of(model: Checkpoint) -> list[str]:
    """Return the keys of a file's weights; those of an SDXL model without leftovers of training."""
    return merged_keys(own_keys(model) or model.tensors)


def sums_by_part(
    models: Sequence[Checkpoint],
    keys: Sequence[str],
    part: Callable[[str], str],
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, Sums], list[str]]:
    """Return the sums of each part, and the keys at which a model has a NaN or an infinity: left out.

    `advance` is told the bytes of each weight in all files.
    """
    found: dict[str, Sums] = {}
    broken = []
    for key, sums in _sums_of_keys(models, keys):
        advance(sum(model.tensors[key].bytes for model in models))
        if not np.isfinite(sums.gram).all():
            broken.append(key)
        elif (name := part(key)) in found:
            found[name] += sums
        else:
            found[name] = sums
    return found, broken


def _sums_of_keys(models: Sequence[Checkpoint], keys: Sequence[str]) -> Iterator[tuple[str, Sums]]:
    threads, of_merge = torch.get_num_threads(), models[-1].tensors
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        for some in read_ahead(models, keys):
            limits = [torch.finfo(DTYPES[of_merge[key].dtype]) for key in some]
            yield from zip(some, pool.map(_of_tensors, some.values(), limits), strict=True)


def _of_tensors(tensors: Sequence[Tensor], limits: torch.finfo) -> Sums:
    """Return the sums of one weight of each model; the limits are those of the last one's dtype."""
    made = products(tensors)
    gram = np.array([[made.first, *made.along], *([0.0, *row] for row in made.between)])
    gram[:, 0] = gram[0]
    count, least_step = tensors[0].numel(), limits.eps * limits.smallest_normal
    relative = (_OF_EPS * limits.eps) ** 2 * made.gram()[-1, -1]
    return Sums(gram, count, relative + count * least_step**2 / 12)
