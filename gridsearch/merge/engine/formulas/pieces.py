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
from gridsearch.merge.engine.formulas.differences import trim
from gridsearch.merge.engine.formulas.elections import ChangeAt, combined
from gridsearch.merge.engine.formulas.ranks import least_rank, magnitude_of_rank
from gridsearch.merge.engine.linear import pieces

MOST_TRAINED = 1.8  # of a difference


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
    leasts = [magnitude_of_rank(start, end, rank) if k < 1 else 0.0 for end in ends]
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
