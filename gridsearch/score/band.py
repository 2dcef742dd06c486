"""The healthy band: an interval for each metric, and distances from it.

It has two sides because each end of a metric is a way to break: a blank picture has the least blur and noise,
a burnt one the most sharpness and colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, isnan, log, sqrt
from statistics import median
from typing import Any

from gridsearch.score.metrics import Metrics

PRIOR_WEIGHT = 4  # the assumed spread within a run counts as much as so many references
UNDEFINED_DISTANCE = 3.0  # spreads; an undefined metric is never inside the band


@dataclass(frozen=True)
class Feature:
    """The scale on which a metric is compared, where healthy pictures scatter evenly to both sides.

    Attributes:
        forward, back: metric -> scale and scale -> metric.
        typical: of healthy SDXL pictures at large, in the metric's unit.
        spread: standard deviation of healthy pictures at large, on the scale.
        spread_in_run: the same for one model's pictures of a few prompts.
    """

    forward: Callable[[float], float]
    back: Callable[[float], float]
    typical: float
    spread: float
    spread_in_run: float


def _logarithmic(offset: float, typical: float, spread: float, spread_in_run: float) -> Feature:
    """Return a feature whose ratios count, not its differences; below about `offset` nothing counts."""
    return Feature(lambda x: log(x + offset), lambda y: exp(y) - offset, typical, spread, spread_in_run)


def _linear(typical: float, spread: float, spread_in_run: float) -> Feature:
    return Feature(lambda x: x, lambda y: y, typical, spread, spread_in_run)


# The typical values and spreads are rounded from healthy cells of published SDXL merge grids, and the
# spreads at large made wide enough for photographs. None is tuned to a single picture: 300 random draws
# of all of them, typical values within 15% and spreads within 25%, changed no verdict on those grids.
FEATURES = {
    "blur": _logarithmic(0.0, 0.6, 0.35, 0.2),
    "noise": _logarithmic(0.5, 0.25, 0.6, 0.4),
    "contrast": _logarithmic(1.0, 52.0, 0.45, 0.25),
    # A square root, because small differences near 0 matter.
    "clipped": Feature(sqrt, lambda y: max(y, 0.0) ** 2, 0.02, 0.15, 0.1),
    "colourfulness": _logarithmic(10.0, 32.0, 0.6, 0.35),
    "entropy": _linear(7.3, 0.8, 0.5),
    "detail": _linear(0.7, 0.25, 0.15),
    # The distance from perfect correlation, as a ratio.
    "autocorrelation": Feature(lambda x: -log(1.01 - x), lambda y: 1.01 - exp(-y), 0.95, 0.6, 0.4),
}


@dataclass(frozen=True)
class HealthyInterval:
    """The healthy values of one metric.

    Attributes:
        low, typical, high: in the metric's unit.
        spread: the unit of distance, on the feature's scale.
    """

    low: float
    typical: float
    high: float
    spread: float


@dataclass(frozen=True)
class Band:
    """One interval per metric; None where the picture's own reference has no value to compare with.

    Attributes:
        references: how many pictures it is based on; 0 means healthy pictures at large.
        own: the metrics of the reference with the same prompt and seed, where there is one.
    """

    blur: HealthyInterval | None
    noise: HealthyInterval | None
    contrast: HealthyInterval
    clipped: HealthyInterval
    colourfulness: HealthyInterval
    entropy: HealthyInterval
    detail: HealthyInterval
    autocorrelation: HealthyInterval | None
    references: int
    own: Metrics | None


def band_of(references: Sequence[Metrics], own: Metrics | None = None) -> Band:
    """Return the band that a run's references span; without any, POPULATION.

    The middle of an interval is the references' median. Its half-width is one spread: theirs, pulled towards
    the usual spread within a run where they are few, and never less than that, because a few references can
    be alike by chance. A merged model renders another picture than the reference of the same prompt and
    seed, so that reference counts for half: the middle moves half-way to its value, and the interval is
    widened to include it (a white background is healthy where the reference has one).

    Args:
        references: metrics of healthy pictures only, see `verdict.usable_reference`.
        own: those of the reference with the same prompt and seed; it may be among `references`.
    """
    if own is not None and not references:
        references = [own]
    if not references:
        return POPULATION
    intervals: dict[str, Any] = {
        name: _interval(feature, [getattr(m, name) for m in references], getattr(own, name, None))
        for name, feature in FEATURES.items()
    }
    return Band(**intervals, references=len(references), own=own)


def _interval(feature: Feature, values: Sequence[float], own: float | None) -> HealthyInterval | None:
    if own is not None and isnan(own):
        return None
    scaled = [feature.forward(value) for value in values if not isnan(value)]
    if not scaled:
        return _around(feature, feature.forward(feature.typical), feature.spread)
    middle = median(scaled)
    squares = sum((y - middle) ** 2 for y in scaled) + PRIOR_WEIGHT * feature.spread_in_run**2
    spread = max(sqrt(squares / (len(scaled) + PRIOR_WEIGHT)), feature.spread_in_run)
    if own is None:
        return _around(feature, middle, spread)
    shrunk = _around(feature, (middle + feature.forward(own)) / 2, spread)
    return HealthyInterval(min(shrunk.low, own), shrunk.typical, max(shrunk.high, own), spread)


def _around(feature: Feature, middle: float, spread: float) -> HealthyInterval:
    low, typical, high = (feature.back(y) for y in (middle - spread, middle, middle + spread))
    return HealthyInterval(low, typical, high, spread)


def _population() -> Band:
    intervals = {name: _around(f, f.forward(f.typical), f.spread) for name, f in FEATURES.items()}
    return Band(**intervals, references=0, own=None)


POPULATION = _population()


def excess(name: str, value: float, interval: HealthyInterval | None) -> float:
    """Return how far a metric lies outside its interval on either side, in spreads; 0 inside."""
    if interval is None:
        return 0.0
    if isnan(value):
        return UNDEFINED_DISTANCE
    forward = FEATURES[name].forward
    below = forward(interval.low) - forward(value)
    above = forward(value) - forward(interval.high)
    return max(below, above, 0.0) / interval.spread


def deviation(name: str, value: float, interval: HealthyInterval) -> float:
    """Return the signed distance from the typical value, in spreads."""
    forward = FEATURES[name].forward
    return (forward(value) - forward(interval.typical)) / interval.spread
