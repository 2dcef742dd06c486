"""Non-linear methods that add a change to their first model: `a + ratio * change(a, b, ...)`.

The change does not depend on the ratio. Each function here looks at whole tensors, of any floating dtype,
and returns another that makes a piece of the change, flat and in float32: large temporaries would page-fault
and cost more than the arithmetic. Torch's comparisons are avoided, whose masks cost more still.
"""

from functools import partial

import numpy as np
from torch import Tensor

from gridsearch.merge.engine.formulas.differences import least_rank, trim
from gridsearch.merge.engine.formulas.elections import ChangeAt, combined
from gridsearch.merge.engine.linear import pieces

SAMPLE = 2**14  # elements, by which the place of a threshold is first estimated


def train_difference(a: Tensor, b: Tensor, c: Tensor) -> ChangeAt:
    """Return the change from c to b, less where a has gone that way already (supermerger).

    The mask is 1.8 |b - a| / (|b - a| + |b - c|), and 0 where all three are equal.
    """
    a, b, c = a.reshape(-1), b.reshape(-1), c.reshape(-1)

    def piece(here: slice) -> Tensor:
        goal = b[here].float()
        trained, away = goal - c[here].float(), (goal - a[here].float()).abs_()
        mask = away.div_(trained.abs().add_(away)).nan_to_num_(0, 0, 0)
        return mask.mul_(trained).mul_(1.8)

    return piece


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
    parts = [partial(part, end, kth_magnitude(start, end, rank) if k < 1 else 0.0) for end in ends]
    return combined(parts, a.shape, vote, combine)


def kth_magnitude(a: Tensor, b: Tensor, rank: int) -> float:
    """Return the magnitude at this rank, 1 the least, among those of b - a, which are flat.

    Of a large tensor, a sample brackets the rank, and only what lies between the brackets is sorted.
    """
    if not a.is_cuda and a.numel() > 4 * SAMPLE:
        step, share = a.numel() // SAMPLE, rank / a.numel()
        sample = np.sort((b[::step].float() - a[::step].float()).abs_().numpy())
        away = 4 * (len(sample) * share * (1 - share)) ** 0.5 + 1  # standard errors of the rank
        low = sample[max(int(share * len(sample) - away), 0)]
        high = sample[min(int(share * len(sample) + away), len(sample) - 1)]
        below, between = _bracketed(a, b, low, high)
        if below < rank <= below + len(between):
            return float(np.partition(between, rank - below - 1)[rank - below - 1])
    return (b.float() - a.float()).abs_().kthvalue(rank).values.item()


def _bracketed(a: Tensor, b: Tensor, low: np.float32, high: np.float32) -> tuple[int, np.ndarray]:
    """Return how many magnitudes of b - a are below `low`, and those from there up to `high`."""
    below, found = 0, []
    for here in pieces(a):
        magnitudes = (b[here].float() - a[here].float()).abs_().numpy()
        under = magnitudes < low
        below += int(np.count_nonzero(under))
        found.append(magnitudes[(magnitudes <= high) ^ under])
    return below, np.concatenate(found)
