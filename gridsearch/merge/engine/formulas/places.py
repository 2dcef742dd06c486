"""The methods that decide value by value, or row by row: exchange, limits, and smoothing."""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from gridsearch.merge.engine.formulas.ranks import value_of_rank


def nearswap(a: Tensor, b: Tensor, ratio: float, threshold: float) -> Tensor:
    """Take b where it is within `threshold` of a, and elsewhere go so far towards it (alchemonaut 2024)."""
    difference = b - a
    there = torch.where(difference.abs() <= threshold, b, a + difference.clamp(-threshold, threshold))
    return torch.lerp(a, there, ratio)


def clamp(a: Tensor, *bounds: Tensor, stiffness: float) -> Tensor:
    """Limit a to the range of the others.

    With `stiffness` the limits go from the outermost of them to those next to their mean, as sd-mecha has it.
    """
    low, high = torch.stack(bounds).aminmax(dim=0)
    if stiffness:
        mean = torch.stack(bounds).mean(0)
        above = torch.stack([torch.where(one >= mean, one, high) for one in bounds]).amin(0)
        below = torch.stack([torch.where(one <= mean, one, low) for one in bounds]).amax(0)
        high, low = torch.lerp(high, above, stiffness), torch.lerp(low, below, stiffness)
    return torch.minimum(torch.maximum(a, low), high)


# -- exchange


def tensor_sum(a: Tensor, b: Tensor, ratio: float, offset: float) -> Tensor:
    """Take the share `ratio` of the rows from b, from the share `offset` on, and past the end from the start.

    As in supermerger, with the bounds rounded as sd-mecha rounds them.
    """
    if a.ndim == 0:
        return b.clone() if ratio > 0.5 else a.clone()
    start, end, swapped = _region(ratio, offset, len(a))
    outer, inner = (b, a) if swapped else (a, b)
    merged = outer.clone()
    merged[start:end] = inner[start:end]
    return merged


def top_k_tensor_sum(a: Tensor, b: Tensor, ratio: float, offset: float) -> Tensor:
    """Put the values of a into the order of those of b: the share `ratio` of them, from the smallest on.

    `offset` begins at larger ones, and past the largest at the smallest (sd-meh's top_k_tensor_sum).
    """
    values = a.flatten().sort().values
    order = b.flatten().argsort(stable=True)
    start, end, swapped = _region(ratio, offset, a.numel())
    sizes = values.abs()
    moved = (sizes > _kth(sizes, start)) & (sizes <= _kth(sizes, end))
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return torch.where((moved ^ swapped)[ranks], values[ranks], a.flatten()).reshape(a.shape)


def _kth(sizes: Tensor, k: int) -> float:
    return value_of_rank(sizes, k) if k > 0 else -1.0


def _region(width: float, offset: float, count: int) -> tuple[int, int, bool]:
    """Return where a region begins and ends, or, where it wraps around, the region that it leaves out."""
    offset %= 1.0
    if width + offset <= 1:
        return round(offset * count), round((width + offset) * count), False
    return round((width + offset - 1) * count), round(offset * count), True


# -- smoothing, and what models share


def smooth_add(a: Tensor, b: Tensor, c: Tensor, ratio: float) -> Tensor:
    """Add `ratio` times b - c, through a median filter of 3 and a Gaussian one of sigma 1 (supermerger).

    Both run along all dimensions of the tensor, on the CPU.
    """
    from scipy import ndimage  # a fifth of a second, which other merges are spared

    difference = (b - c).cpu().numpy()
    if difference.ndim:
        difference = ndimage.gaussian_filter(ndimage.median_filter(difference, size=3), sigma=1)
    return a.add(torch.from_numpy(difference).to(a.device), alpha=ratio)


def extract(a: Tensor, b: Tensor, c: Tensor, ratio: float, differing: float, gamma: float) -> Tensor:
    """Add to a what b and c share of their differences from it, or what they do not (supermerger).

    Shared is ((1 + cosine) / 2) ** gamma, with the cosine over the last dimension. `ratio` is the way from b
    to c, `differing` that from what is shared to the rest.
    """
    first, second = b - a, c - a
    cosine = (
        cosine_similarity(first, second, dim=-1).clamp(-1, 1).unsqueeze(-1) if a.ndim else torch.ones_like(a)
    )
    shared = ((cosine + 1) / 2) ** gamma
    return a + torch.lerp(first, second, ratio) * torch.lerp(shared, 1 - shared, differing)
