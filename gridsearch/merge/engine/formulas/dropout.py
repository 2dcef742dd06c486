"""Differences of which values are dropped by chance, and the methods that sum them or elect among them.

Random draws are made on the CPU, model after model, so that a seed means the same merge on every device.
Which values are kept is held as bits; the differences themselves come piece by piece.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.formulas.differences import trim
from gridsearch.merge.engine.formulas.elections import ChangeAt, combined, summed
from gridsearch.merge.engine.formulas.ranks import least_rank, value_of_rank

Chances = Callable[[Tensor, Tensor], Tensor]


def dare_linear(a: Tensor, *others: Tensor, probability: float, seed: int, rescale: bool) -> ChangeAt:
    """Add all differences, the share `probability` dropped and the rest scaled up (Yu et al. 2023)."""
    parts = _thinned(a, others, partial(_all_alike, probability), seed, 1.0)
    return _scaled(summed(parts), probability if rescale else 0.0)


def dare_ties(
    a: Tensor,
    *others: Tensor,
    probability: float,
    seed: int,
    rescale: bool,
    k: float,
    vote: str,
    combine: str,
    della_eps: float = 0.0,
    ranks: str = "tensor",
) -> ChangeAt:
    """Trim and elect among such differences, as TIES does; the draws are sd-mecha's.

    With `della_eps` small values are dropped more often than large ones. With `ranks = "rows"` a value is
    ranked within its row and scaled up by its own chance (Deep et al. 2024, MAGPRUNE). With "tensor" all are
    ranked together and scaled up alike, as in sd-mecha.
    """
    if ranks == "rows":
        parts = _pruned_in_rows(a, others, probability, della_eps, seed, k, rescale)
        return combined(parts, a.shape, vote, combine)
    chances = partial(_chances_in_tensor, probability, della_eps)
    parts = _thinned(a, others, chances if della_eps else partial(_all_alike, probability), seed, k)
    return _scaled(combined(parts, a.shape, vote, combine), probability if rescale else 0.0)


def _scaled(change: ChangeAt, probability: float) -> ChangeAt:
    return lambda here: change(here).div_(1 - probability)


def _thinned(
    a: Tensor, others: Sequence[Tensor], chances: Chances, seed: int, k: float
) -> Sequence[ChangeAt]:
    """Return the differences with zeros for what is dropped, or is not of the largest share k of the rest."""
    generator, start, parts = torch.Generator().manual_seed(seed), a.reshape(-1), []
    for other in others:
        end = other.reshape(-1)
        kept = np.packbits(_drawn(chances(start, end), start.shape, generator).numpy())
        least = 0.0
        if k < 1:
            magnitudes = _part(start, end, kept, 0.0, slice(0, len(start))).abs_()
            least = value_of_rank(magnitudes, least_rank(k, len(start)))
        parts.append(partial(_part, start, end, kept, least))
    return parts


def _part(start: Tensor, end: Tensor, kept: np.ndarray, least: float, here: slice) -> Tensor:
    first = here.start // 8
    bits = np.unpackbits(kept[first : -(-here.stop // 8)])[here.start - 8 * first : here.stop - 8 * first]
    difference = end[here].float() - start[here].float()
    return trim(difference.mul_(torch.from_numpy(bits).to(difference.device)), least)


def _pruned_in_rows(
    a: Tensor,
    others: Sequence[Tensor],
    probability: float,
    della_eps: float,
    seed: int,
    k: float,
    rescale: bool,
) -> Sequence[ChangeAt]:
    """Return the differences, each value scaled up by its own chance or dropped; they are held whole."""
    generator, pruned = torch.Generator().manual_seed(seed), []
    for other in others:
        difference = other.float() - a.float()
        chances = _chances_in_rows(difference, probability, della_eps)
        kept = _drawn(chances, chances.shape, generator).to(difference.device)
        scaled = difference / chances.clamp(min=1e-30) if rescale else difference
        values = torch.where(kept, scaled, 0).view(-1)
        least = value_of_rank(values.abs(), least_rank(k, len(values))) if k < 1 else 0.0
        pruned.append(trim(values, least))
    return [one.__getitem__ for one in pruned]


def _all_alike(probability: float, start: Tensor, end: Tensor) -> Tensor:
    return torch.ones(()) - probability


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


def _chances_in_tensor(probability: float, della_eps: float, start: Tensor, end: Tensor) -> Tensor:
    """Return sd-mecha's chances: 1 - probability, plus or minus up to half of `della_eps` by the rank."""
    magnitudes = (end.float() - start.float()).abs_()
    count = magnitudes.numel()
    order = magnitudes.argsort(stable=True)
    ranks = torch.empty(count, dtype=torch.int32, device=order.device)
    ranks[order] = torch.arange(1, count + 1, dtype=torch.int32, device=order.device)
    tilt = (ranks / count - (count + 1) / (2 * count)) * della_eps
    return (torch.ones_like(magnitudes) - probability + tilt).clamp_(0, 1)


def _drawn(chances: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Return true at each place by its chance, or by one chance for all, drawn on the CPU.

    The draws are those of `torch.bernoulli`, which takes four times as long.
    """
    return torch.rand(shape, generator=generator) < chances.cpu()
