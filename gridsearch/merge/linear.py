"""The linear engine: a weighted sum of tensors, computed in float32 and rounded once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from gridsearch.errors import RunFailed


class Piece(Protocol):
    """Rows of a file tensor and the live view they are written to."""

    rows: slice
    view: Tensor


class Source(Protocol):
    """Weights by file key."""

    def tensor(self, key: str) -> Tensor: ...


# What torch.lerp knows on every device; 8-bit floats are not among them.
LERP_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def blend(tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype) -> Tensor:
    """The weighted sum of same-shaped tensors in `dtype`, rounded once.

    Two weights that sum to one take `torch.lerp` with a Python float: that equals float32 arithmetic
    rounded once bit for bit, and is exact at 0, at 1 and wherever the tensors agree.
    """
    first, *others = tensors
    if len(tensors) == 1 and weights[0] == 1:
        return first.to(dtype)
    alike = len(tensors) == 2 and first.dtype == others[0].dtype == dtype and dtype in LERP_DTYPES
    if alike and weights[0] == 1 - weights[1]:
        return torch.lerp(first, others[0], weights[1])
    total = first.float() * weights[0]
    for tensor, weight in zip(others, weights[1:], strict=True):
        total.add_(tensor.float(), alpha=weight)
    return total.to(dtype)


def blended(sources: Mapping[str, Source], mix: Mapping[str, float], key: str, dtype: torch.dtype) -> Tensor:
    """`key` as the merge `mix` (source -> coefficient) has it."""
    return blend([sources[name].tensor(key) for name in mix], list(mix.values()), dtype)


def merge_into(
    live: Mapping[str, Sequence[Piece]],
    sources: Mapping[str, Source],
    mix: Mapping[str, float],
    dtypes: Mapping[str, torch.dtype],
) -> None:
    """Write the merge over the live weights, from the pristine sources each time.

    Args:
        dtypes: what an exported file keeps each key in. Values are rounded to that before they are widened
            to the live dtype, so that the live model equals the exported file loaded again, bit for bit.
    """
    for key, pieces in live.items():
        merged = blended(sources, mix, key, dtypes[key])
        for piece in pieces:
            piece.view.copy_(merged[piece.rows])


def non_finite_keys(live: Mapping[str, Sequence[Piece]]) -> Iterator[str]:
    """The keys whose live weights hold a NaN or an infinity."""
    for key, pieces in live.items():
        if not all(torch.isfinite(piece.view).all() for piece in pieces):
            yield key


def require_finite(live: Mapping[str, Sequence[Piece]]) -> None:
    """Fail the trial where a merged weight is NaN or infinite: it could only draw black."""
    if key := next(non_finite_keys(live), None):
        raise RunFailed(
            "The merge has non-finite weights.", where=key, fix="A parent file is broken: inspect it."
        )
