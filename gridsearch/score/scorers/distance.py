"""How far a plug-in scorer's value lies beyond those of the healthy references, on its worse side.

One-sided, unlike the program's own metrics: who gives a scorer a weight says which way is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import median

from gridsearch.score.scorers.plugins import Direction

LEAST_SPREAD = 0.1  # share of the references' median; a few can be alike by chance
MOST_BEYOND = 10.0  # spreads; further is not worse

_WORSE = {"lower": 1, "higher": -1}  # the sign with which a larger value is a worse one


@dataclass(frozen=True)
class ScorerEdge:
    """Where a scorer's values stop being healthy.

    Attributes:
        value: in the scorer's unit.
        spread: the unit of distance, in the scorer's unit, over 0.
        direction: which way is better.
    """

    value: float
    spread: float
    direction: Direction


def edge_of(references: Sequence[float], own: float, direction: Direction) -> ScorerEdge | None:
    """The edge that the references' values span, one spread to the worse side of their middle.

    As of a band (see `band.band_of`): the middle is the references' median, half-way to the value of the
    picture's own reference where it has one, and that one's value is always healthy. The spread is the
    references' standard deviation, and at least a tenth of their median.

    Args:
        references: of healthy pictures; nan where one has no value.
        own: of the reference of the same prompt and seed; nan where there is none.
    Returns:
        None where there is nothing to measure by: no reference has a value, or all have 0.
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
        return ScorerEdge(sign * (middle + spread), spread, direction)
    return ScorerEdge(sign * max((middle + sign * own) / 2 + spread, sign * own), spread, direction)


def beyond(value: float, edge: ScorerEdge | None) -> float:
    """How far a value lies beyond an edge, in spreads, 0 to MOST_BEYOND; 0 where either is undefined.

    A scorer without a value says nothing about the picture, so it neither adds to its defect nor takes
    from it.
    """
    if edge is None or isnan(value):
        return 0.0
    return min(max(_WORSE[edge.direction] * (value - edge.value) / edge.spread, 0.0), MOST_BEYOND)
