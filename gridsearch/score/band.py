"""The healthy range of each metric, with two sides, and distances from it.

Two-sided, because one side of every metric is a way to break: the least blur and noise are a blank
picture's, the most sharpness and colour a burnt one's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import median

from gridsearch.score.metrics import METRIC_SCALES, Metrics, Scale

PRIOR_WEIGHT = 4  # the assumed spread within a run counts as much as this many references
UNDEFINED_DISTANCE = 3.0  # spreads; a metric the picture has no value for is never inside the band


@dataclass(frozen=True)
class HealthyRange:
    """The healthy values of one metric.

    Attributes:
        low, typical, high: in the metric's unit.
        spread: the unit of distance, on the metric's scale.
    """

    low: float
    typical: float
    high: float
    spread: float


@dataclass(frozen=True)
class Band:
    """The healthy range of each metric that is compared.

    Attributes:
        ranges: None where the picture's own reference has no value: there is nothing to compare.
        references: how many pictures it was drawn from; 0 is the population at large.
        own: the metrics of the reference with the same prompt and seed, where there is one.
    """

    ranges: Mapping[str, HealthyRange | None]
    references: int
    own: Metrics | None

    def __getitem__(self, metric: str) -> HealthyRange:
        """Return the range of a metric that has one."""
        found = self.ranges[metric]
        if found is None:
            raise KeyError(metric)
        return found


def band_of(references: Sequence[Metrics], own: Metrics | None = None) -> Band:
    """Return the band that a run's references span.

    The middle of a range is the references' median. Its half-width is one spread: theirs, pulled
    towards the usual spread within a run where they are few, and never less than that, because a few
    references can be alike by chance. A merged model draws another picture than
    the reference of the same prompt and seed, so that one's value says something, not everything: the
    middle goes half-way to it, and the range is stretched until it is inside (a white background
    is healthy where the reference has one). Without any reference it is POPULATION.

    Args:
        references: of healthy pictures only, see `verdict.usable_reference`.
        own: the reference of the same prompt and seed; it may be among `references`.
    """
    if own is not None and not references:
        references = [own]
    if not references:
        return POPULATION
    ranges = {
        name: _healthy_range(
            scale, [getattr(m, name) for m in references], None if own is None else getattr(own, name)
        )
        for name, scale in METRIC_SCALES.items()
    }
    return Band(ranges, references=len(references), own=own)


def _healthy_range(scale: Scale, values: Sequence[float], own: float | None) -> HealthyRange | None:
    if own is not None and isnan(own):
        return None
    scaled = [scale.forward(value) for value in values if not isnan(value)]
    if not scaled:
        return _around(scale, scale.forward(scale.typical), scale.spread)
    middle = median(scaled)
    squares = sum((y - middle) ** 2 for y in scaled) + PRIOR_WEIGHT * scale.spread_in_run**2
    spread = max(sqrt(squares / (len(scaled) + PRIOR_WEIGHT)), scale.spread_in_run)
    if own is None:
        return _around(scale, middle, spread)
    shrunk = _around(scale, (middle + scale.forward(own)) / 2, spread)
    return HealthyRange(min(shrunk.low, own), shrunk.typical, max(shrunk.high, own), spread)


def _around(scale: Scale, middle: float, spread: float) -> HealthyRange:
    low, typical, high = (scale.back(y) for y in (middle - spread, middle, middle + spread))
    return HealthyRange(low, typical, high, spread)


POPULATION = Band(
    {
        name: _around(scale, scale.forward(scale.typical), scale.spread)
        for name, scale in METRIC_SCALES.items()
    },
    references=0,
    own=None,
)


def excess(name: str, value: float, healthy: HealthyRange | None) -> float:
    """Return how far outside its range a metric lies, in spreads; 0 inside, on either side positive."""
    if healthy is None:
        return 0.0
    if isnan(value):
        return UNDEFINED_DISTANCE
    forward = METRIC_SCALES[name].forward
    below = forward(healthy.low) - forward(value)
    above = forward(value) - forward(healthy.high)
    return max(below, above, 0.0) / healthy.spread


def deviation(name: str, value: float, healthy: HealthyRange) -> float:
    """Return the signed distance from the typical value, in spreads."""
    forward = METRIC_SCALES[name].forward
    return (forward(value) - forward(healthy.typical)) / healthy.spread
