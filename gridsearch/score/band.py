"""The healthy band: an interval for each metric, and distances from it.

It has two sides because each end of a metric is a way to break: a blank picture has the least blur and noise,
a burnt one the most sharpness and colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from statistics import median

from gridsearch.score.metrics import METRIC_SCALES, METRICS, Metrics, Scale

PRIOR_WEIGHT = 4  # the assumed spread within a run counts as much as so many references
UNDEFINED_DISTANCE = 3.0  # spreads; an undefined metric is never inside the band


@dataclass(frozen=True)
class HealthyInterval:
    """The healthy values of one metric, in its unit; `spread` is the unit of distance, on its scale."""

    low: float
    typical: float
    high: float
    spread: float


@dataclass(frozen=True)
class Band:
    """The healthy interval of each metric that is compared."""

    intervals: Mapping[str, HealthyInterval | None]  # None where `own` has no value: nothing to compare
    references: int  # how many pictures it is based on; 0 means healthy pictures at large
    own: Metrics | None  # those of the reference with the same prompt and seed, where there is one
    reference: Metrics | None  # its own, or the medians of all references; None without any

    def __getitem__(self, metric: str) -> HealthyInterval:
        """Return the interval of a metric that has one."""
        found = self.intervals[metric]
        if found is None:
            raise KeyError(metric)
        return found


def band_of(references: Sequence[Metrics], own: Metrics | None = None) -> Band:
    """Return the band that a run's references span; without any, POPULATION.

    The middle of an interval is the references' median. Its half-width is one spread: theirs, pulled towards
    the usual spread within a run where they are few, and never less than that, because a few references can
    be alike by chance. A merged model renders another picture than the reference of the same prompt and
    seed, so that reference counts for half: the middle moves half-way to its value, and the interval is
    widened to include it (a white background is healthy where the reference has one).

    Args:
        references: metrics of healthy pictures only, see `score.usable_reference`.
        own: those of the reference with the same prompt and seed; it may be among `references`.
    """
    if own is not None and not references:
        references = [own]
    return _band(references, own) if references else POPULATION


def _band(references: Sequence[Metrics], own: Metrics | None) -> Band:
    intervals = {
        name: _interval(scale, [getattr(m, name) for m in references], getattr(own, name, None))
        for name, scale in METRIC_SCALES.items()
    }
    return Band(intervals, len(references), own, own or (_medians(references) if references else None))


def _medians(references: Sequence[Metrics]) -> Metrics:
    """Return the median of each metric over the references that have it."""
    known = {name: [x for m in references if not isnan(x := getattr(m, name))] for name in METRICS}
    return Metrics(**{name: median(values) if values else nan for name, values in known.items()})


def _interval(scale: Scale, values: Sequence[float], own: float | None) -> HealthyInterval | None:
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
    return HealthyInterval(min(shrunk.low, own), shrunk.typical, max(shrunk.high, own), spread)


def _around(scale: Scale, middle: float, spread: float) -> HealthyInterval:
    low, typical, high = (scale.back(y) for y in (middle - spread, middle, middle + spread))
    return HealthyInterval(low, typical, high, spread)


POPULATION = _band([], None)


def excess(name: str, value: float, healthy: HealthyInterval | None) -> float:
    """Return how far outside its range a metric lies, in spreads; 0 inside, on either side positive."""
    if healthy is None:
        return 0.0
    if isnan(value):
        return UNDEFINED_DISTANCE
    forward = METRIC_SCALES[name].forward
    below = forward(healthy.low) - forward(value)
    above = forward(value) - forward(healthy.high)
    return max(below, above, 0.0) / healthy.spread


def deviation(name: str, value: float, healthy: HealthyInterval) -> float:
    """Return the signed distance from the typical value, in spreads."""
    forward = METRIC_SCALES[name].forward
    return (forward(value) - forward(healthy.typical)) / healthy.spread
