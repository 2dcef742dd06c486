"""The distance of a plug-in scorer's value beyond those of the healthy references, on the worse side.

It is one-sided, unlike that of the built-in metrics: who gives a scorer a weight says which way is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import median

from gridsearch.score.scorers.plugins import Direction

LEAST_SPREAD = 0.1  # share of the references' median: a few can be alike by chance
MOST_BEYOND = 10.0  # spreads; a greater distance is not worse

_WORSE = {"lower": 1, "higher": -1}  # the sign that makes larger values worse


@dataclass(frozen=True)
class ScorerLimit:
    """The value at which a scorer stops being healthy.

    Attributes:
        value: in the scorer's unit.
        spread: the unit of distance, in the scorer's unit, above 0.
        direction: which way is better.
    """

    value: float
    spread: float
    direction: Direction


def edge_of(references: Sequence[float], own: float, direction: Direction) -> ScorerLimit | None:
    """Return the limit of the references' values, one spread to the worse side of their middle.

    As in a band (see `band.band_of`), the middle is the references' median, half-way to the value of the
    picture's own reference where it has one, and that value is always healthy. The spread is the references'
    standard deviation, and at least a tenth of their median.

    Args:
        references: values of healthy pictures; nan where one has none.
        own: the value of the reference of the same prompt and seed; nan where there is none.
    Returns:
        None without a scale: no reference has a value, or all have 0.
    """
    sign = _WORSE[direction]
    badness = [sign * value for value in references if not isnan(value)]
    if not badness:
        return None
    middle = median(badness)
    variance = sum((value - middle) ** 2 for value in badness) / len(badness)
    spread = max(sqrt(variance), LEAST_SPREAD * abs(middle))
    if spread == 0:
        return None
    if isnan(own):
        return ScorerLimit(sign * (middle + spread), spread, direction)
    return ScorerLimit(sign * max((middle + sign * own) / 2 + spread, sign * own), spread, direction)


def beyond(value: float, edge: ScorerLimit | None) -> float:
    """Return how far a value lies beyond a limit, in spreads, 0 to MOST_BEYOND; 0 where either is undefined.

    A scorer without a value says nothing about the picture, so it does not change its defect.
    """
    if edge is None or isnan(value):
        return 0.0
    return min(max(_WORSE[edge.direction] * (value - edge.value) / edge.spread, 0.0), MOST_BEYOND)
