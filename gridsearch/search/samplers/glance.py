"""Glances: single images at ratios where nothing is expected, for a window that no other step would find.

A window beside another one may be narrower than the spacing of the first look. It lies where the dial turns
between ratios that do not survive, or no dial leads to it. There each ratio gets one image. If that is sound,
the trial goes on as any other does.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.axis import COARSE, RatioAxis, coarse_left, halvings, nearest_value
from gridsearch.search.samplers.window import Seen, known_of, turns_in

# Of the range. Of simulated windows 0.02 to 0.04 wide, single images so far apart hit 95%; at 0.03, 80%
# (`python -m benchmarks.search --worlds --world island`).
SPACING = 0.02
MOST_GLANCED = 0.03  # of the images of all ratios: glances are further apart where they would take more


def spacing(axis: RatioAxis, cases: int) -> float:
    """Return the distance of glances; infinite where the first look is as fine, for want of cases."""
    span = axis.values[-1] - axis.values[0]
    apart = max(axis.step, SPACING * span, span / (MOST_GLANCED * len(axis.values) * cases))
    return apart if apart < COARSE * span else float("inf")


def most_glances(axis: RatioAxis, cases: int) -> int:
    """Return how many there are on a curve at most, or hardly more."""
    even = int((axis.values[-1] - axis.values[0]) / spacing(axis, cases) + 1e-6)
    return min(even, len(axis.values) - len(coarse_left((), axis)))


def glances(seen: Sequence[Seen], axis: RatioAxis, cases: int) -> Iterator[float]:
    """Yield the ratios that are worth a glance: where the dial turns, then evenly apart, ascending."""
    known, apart, taken = known_of(seen), spacing(axis, cases), [one.ratio for one in seen]
    for low, high in turns_in(known, dead=True):
        yield from halvings(low, high, taken, axis)
    for a, b in pairwise(known):
        if max(a.survived, b.survived) >= SURVIVES:
            continue
        between = {one for one in taken if a.ratio < one < b.ratio}
        for low, high in pairwise(sorted({a.ratio, *between, b.ratio})):
            parts = ceil((high - low) / apart - 1e-6)
            for part in range(1, parts):
                if free := axis.free(low, high, taken):
                    yield nearest_value(low + (high - low) * part / parts, free)
