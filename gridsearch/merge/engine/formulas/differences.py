"""The methods that keep a part of each model's difference from the first: by size, or by variance.

Every one gives `a + ratio * combined(b - a, c - a, ...)`.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.formulas.ranks import value_of_rank


def elected_mean(differences: Sequence[Tensor], vote: str, weights: Sequence[float] | None = None) -> Tensor:
    """Return at each place the mean of the differences that have the elected sign, and 0 where none is.

    The sign is that of their sum (Yadav et al. 2023), or by `vote = "count"` that of the greater number.
    `weights` weigh the mean, not the vote.
    """
    # comparisons, whose results are bytes, take longer on a CPU than all of this
    sign = _sum([one.sign() for one in differences] if vote == "count" else differences).sign_()
    agreeing = [(one * sign).relu_() for one in differences]
    total = _sum(agreeing, weights).mul_(sign)
    return total.div_(_sum([one.sign_() for one in agreeing], weights).clamp_(min=1e-30))


def _sum(tensors: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    if weights:
        tensors = [one * weight for one, weight in zip(tensors, weights, strict=True)]
    if len(tensors) == 1:
        return tensors[0].clone()
    total = tensors[0] + tensors[1]
    for one in tensors[2:]:
        total.add_(one)
    return total


# -- by size


def breadcrumbs(
    a: Tensor, *others: Tensor, ratio: float, drop_smallest: float, drop_largest: float
) -> Tensor:
    """Add all differences, each without its smallest and largest values (Davari & Belilovsky 2023)."""
    crumbs = [_middle(other - a, drop_smallest, drop_largest) for other in others]
    return a.add(_sum(crumbs), alpha=ratio)


def breadcrumbs_ties(
    a: Tensor, *others: Tensor, ratio: float, drop_smallest: float, drop_largest: float, vote: str
) -> Tensor:
    """Elect among such differences, as TIES does."""
    crumbs = [_middle(other - a, drop_smallest, drop_largest) for other in others]
    return a.add(elected_mean(crumbs, vote), alpha=ratio)


def _middle(difference: Tensor, drop_smallest: float, drop_largest: float) -> Tensor:
    """Return a difference with zeros for these shares of its values, rounded down to whole numbers of them.

    Values as large as the last one that is kept are kept too.
    """
    size = difference.abs()
    count = size.numel()
    low, high = int(drop_smallest * count) + 1, count - int(drop_largest * count)
    if low > high:
        return torch.zeros_like(difference)
    least, most = (value_of_rank(size.flatten(), rank) for rank in (low, high))
    return torch.where((size >= least) & (size <= most), difference, 0)


def trim(difference: Tensor, least: float) -> Tensor:
    """Return a difference with zeros for all below a magnitude, written over it."""
    bound = float(np.nextafter(np.float32(least), np.float32(0)))  # hardshrink keeps only what is above it
    return torch.hardshrink(difference, bound, out=difference) if least else difference


# -- by variance


def sce(a: Tensor, *others: Tensor, ratio: float, k: float) -> Tensor:
    """Select, calculate, erase (Wan et al. 2024, FuseChat).

    The differences are kept at the share `k` of places, those where they vary most; each weighs by the mean
    of its squares; at each place those with the sign of their sum count.
    """
    differences = [other - a for other in others]
    if k < 1:
        chosen = _varied(differences, k)
        differences = [torch.where(chosen, one, 0) for one in differences]
    squares = [one.double().square().mean().item() for one in differences]
    if not any(squares):
        return a.clone()
    weights = [square / sum(squares) for square in squares]
    return a.add(elected_mean(differences, "magnitude", weights), alpha=ratio)


def _varied(differences: Sequence[Tensor], k: float) -> Tensor:
    """Return true at the share `k` of the places where the differences vary, where they vary most."""
    mean = _sum(differences).div_(len(differences))
    variance = _sum([(one - mean).square_() for one in differences]).flatten()
    count = int(k * torch.count_nonzero(variance).item())
    if count == 0:
        return torch.zeros_like(mean, dtype=torch.bool)
    return (variance >= value_of_rank(variance, variance.numel() - count + 1)).reshape(mean.shape)
