"""The methods that keep a part of each model's difference from the first: by size, by chance, by variance.

Every one gives `a + ratio * combined(b - a, c - a, ...)`. Random draws are made on the CPU, so that a seed
means the same merge on every device.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import hardshrink


def elected_mean(differences: Sequence[Tensor], vote: str, weights: Sequence[float] | None = None) -> Tensor:
    """Return at each place the mean of the differences that have the elected sign, and 0 where none is.

    The sign is that of their sum (Yadav et al. 2023), or by `vote = "count"` that of the greater number.
    `weights` weigh the mean, not the vote.
    """
    # comparisons, whose results are bytes, take longer on a CPU than all of this
    sign = _sum([one.sign() for one in differences] if vote == "count" else differences).sign_()
    agreeing = [(one * sign).relu_() for one in differences]
    counts = [one.sign() for one in agreeing]
    if weights:
        for one, count, weight in zip(agreeing, counts, weights, strict=True):
            one.mul_(weight)
            count.mul_(weight)
    return _sum(agreeing).mul_(sign).div_(_sum(counts).clamp_(min=1e-30))


def _sum(tensors: Sequence[Tensor]) -> Tensor:
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
    least, most = size.flatten().kthvalue(low).values, size.flatten().kthvalue(high).values
    return torch.where((size >= least) & (size <= most), difference, 0)


def _trimmed(difference: Tensor, k: float) -> Tensor:
    """Return a difference with zeros for all but the share `k` of its values, the largest."""
    if k == 1:
        return difference
    return trim(
        difference, difference.abs().flatten().kthvalue(least_rank(k, difference.numel())).values.item()
    )


def least_rank(k: float, size: int) -> int:
    """Return the rank, 1 the least, of the smallest of so many magnitudes of which the share `k` is kept."""
    return max(int((1 - k) * size), 1)


def trim(difference: Tensor, least: float) -> Tensor:
    """Return a difference with zeros for all below a magnitude."""
    bound = float(np.nextafter(np.float32(least), np.float32(0)))  # hardshrink keeps only what is above it
    return hardshrink(difference, bound) if least else difference


# -- by chance


def dare_linear(a: Tensor, *others: Tensor, ratio: float, probability: float, seed: int) -> Tensor:
    """Add all differences, the share `probability` dropped and the rest scaled up (Yu et al. 2023)."""
    generator = torch.Generator().manual_seed(seed)
    thinned = [_thinned(other - a, probability, generator) for other in others]
    return a.add(_sum(thinned), alpha=ratio / (1 - probability))


def dare_ties(
    a: Tensor, *others: Tensor, ratio: float, probability: float, seed: int, k: float, vote: str
) -> Tensor:
    """Trim and elect among such differences, as TIES does; the draws are sd-mecha's."""
    generator = torch.Generator().manual_seed(seed)
    thinned = [_trimmed(_thinned(other - a, probability, generator), k) for other in others]
    return a.add(elected_mean(thinned, vote), alpha=ratio / (1 - probability))


def della(
    a: Tensor,
    *others: Tensor,
    ratio: float,
    probability: float,
    della_eps: float,
    seed: int,
    k: float,
    vote: str,
    ranks: str,
) -> Tensor:
    """Drop small values of the differences more often than large ones, then trim and elect, as TIES does.

    With `ranks = "rows"` a value is ranked within its row and scaled up by its own chance (Deep et al. 2024,
    MAGPRUNE). With "tensor" all are ranked together and scaled up alike, and the draws are sd-mecha's.
    """
    generator = torch.Generator().manual_seed(seed)
    by_row, pruned = ranks == "rows", []
    for difference in (other - a for other in others):
        chances = (_chances_in_rows if by_row else _chances_in_tensor)(difference, probability, della_eps)
        scaled = difference / chances.clamp(min=1e-30) if by_row else difference
        pruned.append(_trimmed(torch.where(_drawn(chances, generator), scaled, 0), k))
    return a.add(elected_mean(pruned, vote), alpha=ratio if by_row else ratio / (1 - probability))


def _chances_in_rows(difference: Tensor, probability: float, della_eps: float) -> Tensor:
    """Return each value's chance to be kept: 1 - (probability - della_eps / 2 + della_eps * rank / n).

    The rank counts the row's larger values, n is the row's length. A vector is one row; of a convolution
    each output channel is one.
    """
    rows = difference.abs().reshape(len(difference) if difference.ndim > 1 else 1, -1)
    order = rows.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(rows.shape[1], dtype=rows.dtype, device=rows.device).expand_as(rows)
    ranks = torch.empty_like(rows).scatter_(1, order, places)
    dropped = ranks.mul_(della_eps / rows.shape[1]).add_(probability - della_eps / 2)
    return dropped.neg_().add_(1).clamp_(0, 1).reshape(difference.shape)


def _chances_in_tensor(difference: Tensor, probability: float, della_eps: float) -> Tensor:
    """Return sd-mecha's chances: 1 - probability, plus or minus up to half of `della_eps` by the rank."""
    order = difference.abs().flatten().argsort(stable=True)
    places = torch.arange(1, order.numel() + 1, device=order.device)
    ranks = torch.empty_like(order).scatter_(0, order, places)
    centre = (order.numel() + 1) / (2 * order.numel())
    tilt = ((ranks / order.numel() - centre) * della_eps).reshape(difference.shape)
    return (torch.ones_like(difference) - probability + tilt).clamp_(0, 1)


def _thinned(difference: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Return a difference with zeros for the share `probability` of its values, drawn one by one."""
    return torch.where(_drawn(torch.ones_like(difference) - probability, generator), difference, 0)


def _drawn(chances: Tensor, generator: torch.Generator) -> Tensor:
    """Return true at each place by its chance, drawn on the CPU."""
    return torch.bernoulli(chances.cpu(), generator=generator).bool().to(chances.device)


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
    return (variance >= variance.kthvalue(variance.numel() - count + 1).values).reshape(mean.shape)
