"""Values at a rank, 1 the least.

In a large tensor a sample brackets the rank: torch would take ten times as long to find it among all.
"""

import numpy as np
from torch import Tensor

from gridsearch.merge.engine.compiled import array, loops_for

STEP = 101  # from one value of a sample to the next: a prime, to meet all columns of a matrix
LARGE = 2**16  # values, of which such a sample tells something


def least_rank(k: float, size: int) -> int:
    """Return the rank of the smallest of so many magnitudes of which the share `k` is kept."""
    return max(int((1 - k) * size), 1)


def value_of_rank(values: Tensor, rank: int) -> float:
    """Return the value at this rank of a flat tensor in float32; NaN is the greatest."""
    if values.is_cuda or values.numel() < LARGE:
        return values.kthvalue(rank).values.item()
    every = values.numpy()
    low, high = _bracket(every[::STEP], rank, every.size)
    below, between = int(np.count_nonzero(every < low)), every[(every >= low) & (every <= high)]
    if below < rank <= below + between.size:
        return _among(between, rank - below)
    return _among(every, rank)


def magnitude_of_rank(a: Tensor, b: Tensor, rank: int) -> float:
    """Return the magnitude at this rank among those of b - a, which are flat."""
    loops = loops_for(a, b) if a.element_size() == 2 else None
    if loops:
        bracket = _bracket(loops.first_bits(array(a), array(b), STEP), rank, a.numel())
        below, between = loops.bracketed(array(a), array(b), *bracket)
        if below < rank <= below + between.size:
            return _among(between, rank - below)
    return value_of_rank((b.float() - a.float()).abs_(), rank)


def _bracket(sample: np.ndarray, rank: int, count: int) -> np.ndarray:
    """Return the two values of a sample of so many between which that at the rank lies.

    They are three standard errors of the rank away from it: in 0.3% of all tensors it lies outside.
    """
    share = rank / count
    away = 3 * (sample.size * share * (1 - share)) ** 0.5 + 1
    places = np.array([share * sample.size - away, share * sample.size + away])
    places = np.clip(places, 0, sample.size - 1).astype(int)
    return np.partition(sample, places)[places]


def _among(values: np.ndarray, rank: int) -> float:
    return float(np.partition(values, rank - 1)[rank - 1])
