"""Glances: single images at ratios where nothing is expected, for a window that no other step would find.

A window beside another one may be narrower than the spacing of the first look, and no dial need lead to it. A
ratio between two that do not survive gets one image. If it is sound, the trial goes on as any other does.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.window import COARSE, RatioAxis, Seen, known_of, nearest_value

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
    """Return how many there are on a curve at most."""
    return int((axis.values[-1] - axis.values[0]) / spacing(axis, cases) + 1e-6)


def glances(seen: Sequence[Seen], axis: RatioAxis, cases: int) -> Iterator[float]:
    """Yield the ratios that are worth a glance, ascending."""
    apart, taken = spacing(axis, cases), [one.ratio for one in seen]
    for a, b in pairwise(known_of(seen)):
        if max(a.survived, b.survived) >= SURVIVES:
            continue
        between = {one for one in taken if a.ratio < one < b.ratio}
        for low, high in pairwise(sorted({a.ratio, *between, b.ratio})):
            parts = ceil((high - low) / apart - 1e-6)
            for part in range(1, parts):
                if free := axis.free(low, high, taken):
                    yield nearest_value(low + (high - low) * part / parts, free)
