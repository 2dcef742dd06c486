"""The factors of a change of weights at a rank: a singular value decomposition, cut off.

Cut at rank r it is the nearest matrix of that rank (Eckart and Young 1936). Of a large matrix it is found by
random projections (Halko, Martinsson and Tropp 2011, arXiv:0909.4061, algorithm 4.4), whose loss is measured
with the rest: what `Factors.lost` says is that of the factors as they are rounded.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OVERSAMPLING = 16  # columns beyond the rank in a random projection
POWER_ITERATIONS = 4  # more only matter where the singular values fall off slowly
EXACT_UNTIL = 4  # times the columns of a projection: a smaller matrix is decomposed as a whole


@dataclass(frozen=True)
class Factors:
    """A change of a layer's weight as a product, up [out, r, 1, 1] and down [r, in, h, w] of a convolution.

    `whole` is the sum of the squares of the change, and `lost` that of what the product lacks of it.
    """

    up: Tensor
    down: Tensor
    whole: float
    lost: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]


def factored(change: Tensor, rank: int, energy: float, dtype: torch.dtype, seed: int) -> Factors:
    """Return the factors of a change that is not zero, [out, in] or [out, in, height, width] in float32.

    The rank is the least that keeps the share `energy` of the squares of the singular values, and `rank` at
    most. Either factor has the root of each singular value, so that neither is large in half precision.
    """
    matrix = change.flatten(1)
    left, values, right = _decomposed(matrix, min(rank, *matrix.shape), seed)
    whole = _squares(matrix)
    kept = values.double().square().cumsum(0) / whole
    used = min(int((kept < energy).sum()) + 1, len(values)) if energy < 1 else len(values)
    roots = values[:used].sqrt()
    up, down = (left[:, :used] * roots).to(dtype), (right[:, :used] * roots).T.to(dtype).contiguous()
    lost = _squares(matrix - up.float() @ down.float())
    if change.ndim == 2:
        return Factors(up.contiguous(), down, whole, lost)
    return Factors(up[:, :, None, None].contiguous(), down.reshape(used, *change.shape[1:]), whole, lost)


def _decomposed(matrix: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the first `rank` left singular vectors, values and right singular vectors."""
    columns = rank + OVERSAMPLING
    if min(matrix.shape) <= EXACT_UNTIL * columns:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        return left[:, :rank], values[:rank], right.T[:, :rank]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        left, values, right = torch.svd_lowrank(matrix, columns, niter=POWER_ITERATIONS)
    return left[:, :rank], values[:rank], right[:, :rank]


def _squares(matrix: Tensor) -> float:
    """Return the sum of the squares; a norm in float32 is exact enough, and overflows nowhere near it."""
    return math.pow(float(torch.linalg.vector_norm(matrix)), 2)
