"""Non-linear methods that add a change to their first model: `a + ratio * change(a, b, ...)`.

The change does not depend on the ratio. A function here looks at whole tensors, of any floating dtype, and
returns another that makes a piece of the change, flat and in float32: large temporaries would page-fault
and cost more than the arithmetic. Torch's comparisons are avoided, whose masks cost more still.
"""

from collections.abc import Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.compiled import TAKEN, addresses, array, loops_for
from gridsearch.merge.engine.formulas.differences import least_rank, trim
from gridsearch.merge.engine.formulas.elections import ChangeAt, combined
from gridsearch.merge.engine.linear import pieces

STEP = 101  # from one element of a sample to the next: a prime, to meet all columns of a matrix
MOST_TRAINED = 1.8  # of a difference
LARGE = 2**16  # elements, of which such a sample tells something


def add_train_difference(out: Tensor, base: Tensor, weight: float, a: Tensor, b: Tensor, c: Tensor) -> None:
    """Write `base` plus a weight times the change from c to b, less where a has gone that way (supermerger).

    The change is masked by 1.8 |b - a| / (|b - a| + |b - c|), and by 0 where all three are equal. All tensors
    are flat. It is made anew in each merge: that takes no longer than to read what was kept.
    """
    loops = [loops_for(one) for one in (base, a, b, c)]  # which may be of several dtypes
    if out.dtype in TAKEN and loops[0] and all(loops):
        loops[0].add_trained(array(out), array(base), np.float32(weight), *map(array, (a, b, c)))
        return
    for here in pieces(out):
        goal = b[here].float()
        trained, away = goal - c[here].float(), (goal - a[here].float()).abs_()
        mask = away.div_(trained.abs().add_(away)).nan_to_num_(0, 0, 0)
        change = mask.mul_(trained).mul_(MOST_TRAINED)
        out[here].copy_(torch.add(base[here].float(), change, alpha=weight))


def ties(a: Tensor, *others: Tensor, k: float, vote: str, combine: str) -> ChangeAt:
    """Trim all but the largest share k of each difference, elect a sign, and combine those that have it.

    Yadav et al. 2023, algorithm 1: the sign is that of the sum, and they are averaged; by `vote = "count"` it
    is that of the greater number.
    """
    start = a.reshape(-1)
    rank = least_rank(k, a.numel())

    def part(end: Tensor, least: float, here: slice) -> Tensor:
        return trim(end[here].float() - start[here].float(), least)

    ends = [other.reshape(-1) for other in others]
    leasts = [kth_magnitude(start, end, rank) if k < 1 else 0.0 for end in ends]
    if combine == "mean" and (loops := loops_for(start, *ends)):
        return partial(_elected, loops, start, ends, leasts, vote)
    return combined([partial(part, *one) for one in zip(ends, leasts, strict=True)], a.shape, vote, combine)


def _elected(
    loops: ModuleType, start: Tensor, ends: Sequence[Tensor], leasts: Sequence[float], vote: str, here: slice
) -> Tensor:
    made, places = torch.empty(here.stop - here.start), addresses([end[here] for end in ends])
    loops.mean_of_elected(
        array(made), array(start[here]), places, np.array(leasts, np.float32), vote == "count"
    )
    return made


def kth_magnitude(a: Tensor, b: Tensor, rank: int) -> float:
    """Return the magnitude at this rank, 1 the least, among those of b - a, which are flat.

    In a large tensor a sample brackets the rank by the first 16 bits of magnitudes, and only those between
    the brackets are compared as a whole.
    """
    if not a.is_cuda and a.numel() >= LARGE:
        loops = loops_for(a, b) if a.element_size() == 2 else None
        sample = loops.first_bits(array(a), array(b), STEP) if loops else _first_bits(a[::STEP], b[::STEP])
        share = rank / a.numel()
        away = 3 * (len(sample) * share * (1 - share)) ** 0.5 + 1  # standard errors of the rank
        bracket = _at_ranks(sample, [share * len(sample) + side for side in (-away, away)])
        below, between = (
            loops.bracketed(array(a), array(b), *bracket) if loops else _bracketed(a, b, *bracket)
        )
        if below < rank <= below + len(between):
            at = rank - below - 1
            return float(np.partition(between, at)[at])
    return _magnitudes(a, b).kthvalue(rank).values.item()


def _magnitudes(a: Tensor, b: Tensor) -> Tensor:
    return (b.float() - a.float()).abs_()


def _bracketed(a: Tensor, b: Tensor, low: int, high: int) -> tuple[int, np.ndarray]:
    """Return how many magnitudes have bits below `low`, and those that have bits from there to `high`."""
    below, found = 0, []
    for here in pieces(a):
        bits = _first_bits(a[here], b[here])
        under = bits < low
        below += int(np.count_nonzero(under))
        between = torch.from_numpy((bits <= high) ^ under)
        found.append(_magnitudes(a[here][between], b[here][between]).numpy())
    return below, np.concatenate(found)


def _first_bits(a: Tensor, b: Tensor) -> np.ndarray:
    """Return the first 16 bits of the magnitudes of b - a, which order these; of 16-bit floats, rounded."""
    first, second = (one if one.element_size() == 2 else one.float() for one in (a, b))
    difference = second - first
    if difference.element_size() == 2:
        return difference.view(torch.int16).numpy() & 0x7FFF
    return (difference.view(torch.int32).numpy() >> 16).astype(np.int16) & 0x7FFF


def _at_ranks(bits: np.ndarray, ranks: Sequence[float]) -> list[int]:
    """Return the number at each rank, or the nearest there is."""
    upto = torch.bincount(torch.from_numpy(bits)).cumsum(0).numpy()
    return np.searchsorted(upto, np.clip(ranks, 1, len(bits))).tolist()
