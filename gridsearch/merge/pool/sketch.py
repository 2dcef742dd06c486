"""A sketch of weights: a few numbers from which distances and products of many models are estimated.

It is a seeded random projection (a count sketch, Charikar, Chen and Farach-Colton 2002, in the layout of a
sparse Johnson-Lindenstrauss transform): every value of a tensor is given a random sign and added to one of
`BUCKETS` sums. Sketches of two models are taken with the same signs, so the sketch of a difference is the
difference of sketches, and a product of two differences is that of their sketches, with an error of
`standard_error` times their norms.
"""

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

BUCKETS = 2**14
PIECE = 2**18  # elements that are worked on at once, in a CPU's cache
SIGNS = 2**20  # random signs, which every piece begins to use at a place of its own
ALIGNED = 64  # of these places, so that they lie as the processor likes them


def standard_error(cosine: float = 0.0) -> float:
    """Return the standard error of an estimated product, as a share of the two norms."""
    return math.sqrt((1 + cosine**2) / BUCKETS)


def new_signs(seed: int = 0) -> Tensor:
    """Return the signs that all sketches to be compared are taken with."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (SIGNS,), generator=generator, dtype=torch.float32).mul_(2).sub_(1)


def sketch(key: str, tensor: Tensor, signs: Tensor) -> tuple[np.ndarray, float, int]:
    """Return a tensor's sketch, the sum of its squares, and how many values are NaN or infinite.

    Those count as zeros. The places of signs and buckets follow from the key.
    """
    flat, found = tensor.reshape(-1), torch.zeros(BUCKETS)
    buffer, squares, broken = torch.empty(min(PIECE, _whole(flat.numel()))), 0.0, 0
    for start in range(0, flat.numel(), PIECE):
        piece = flat[start : start + PIECE]
        values = buffer[: _whole(len(piece))]
        values[: len(piece)].copy_(piece)
        values[len(piece) :] = 0
        if not math.isfinite(own := float(torch.dot(values, values))):
            broken += int((~values.isfinite()).sum())
            values.nan_to_num_(0.0, 0.0, 0.0)
            own = float(torch.dot(values, values))
        squares += own
        place, turn, sign = _place(key, start)
        values.mul_(signs[place : place + len(values)])
        sums = values if len(values) < BUCKETS else values.view(-1, BUCKETS).sum(0)
        found[turn : turn + len(sums)].add_(sums[: BUCKETS - turn], alpha=sign)
        found[: max(turn + len(sums) - BUCKETS, 0)].add_(sums[BUCKETS - turn :], alpha=sign)
    return found.numpy(), squares, broken


def _place(key: str, start: int) -> tuple[int, int, int]:
    """Return the first sign, the first bucket and the sign of a piece: random, and always the same for it."""
    digits = int.from_bytes(hashlib.sha256(f"{key} {start}".encode()).digest()[:16])
    digits, place = divmod(digits, (SIGNS - PIECE) // ALIGNED)
    digits, turn = divmod(digits, BUCKETS)
    return ALIGNED * place, turn, 1 if digits % 2 else -1


def _whole(count: int) -> int:
    """Return the least number of whole rows of buckets that hold so many values; of few, their own number."""
    return count if count < BUCKETS else -(-count // BUCKETS) * BUCKETS
