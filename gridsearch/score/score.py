"""The score of one picture: a verdict, how far from healthy, and on which side.

distance  = root of the summed squares of how far each metric lies outside its range, in spreads,
            and of how far plug-in scorers lie beyond the references, times their weights
defect    = distance pressed below OK_CAP, where the verdict is "ok"
          = FAILED + distance pressed below the rest of DEFECT_CAP, where it is not
"""

from dataclasses import asdict, dataclass
from math import hypot, nan, sqrt

import numpy as np

from gridsearch.score.band import Band, deviation, excess
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_SCALES, METRICS, UNDEFINED, Metrics
from gridsearch.score.verdict import NOT_FINITE, OK, SNOW, USUAL_LIMITS, GateLimits, Verdict, verdict_of

OK_CAP = 4.0  # a picture that passes all gates stays below this
FAILED = 5.0  # one that fails starts here
DEFECT_CAP = 10.0  # and stays below this; a render that is not finite has exactly this
RISING = tuple(name for name, metric in METRICS.items() if metric.rises)  # along a ratio: the dial's metrics


@dataclass(frozen=True)
class Score:
    """The score of one picture.

    Attributes:
        verdict: one of `verdict.VERDICTS`.
        reason: why, in words; empty for "ok".
        defect: 0 inside the healthy band, larger is worse, at most DEFECT_CAP.
        dial: below 0 under-cooked (pale), above 0 over-cooked (garish), in spreads of healthy pictures;
            nan where the render is not finite.
        metrics: the numbers behind it.
    """

    verdict: str
    reason: str
    defect: float
    dial: float
    metrics: Metrics


def score(
    rgb: np.ndarray,
    band: Band,
    *,
    finite: bool = True,
    stopped: Verdict | None = None,
    beyond: float = 0.0,
    thresholds: GateLimits = USUAL_LIMITS,
) -> Score:
    """Score one picture against a band.

    Args:
        rgb: uint8 (H, W, 3).
        finite: whether all values were finite before they became 8 bits; if not, the pixels mean
            nothing and are not looked at.
        stopped: the verdict on its denoising, where that was stopped as hopeless and the picture is what was
            predicted until then. What was noise is named as it looks, where it looks broken.
        beyond: what plug-in scorers add to the distance, in spreads, finite; the verdict is not theirs.
    Raises:
        BadInput: another shape or dtype.
    """
    if not finite:
        return Score(NOT_FINITE.name, NOT_FINITE.reason, DEFECT_CAP, nan, UNDEFINED)
    metrics = measure(rgb)
    verdict = verdict_of(metrics, band, thresholds)
    if stopped and (verdict == OK or stopped.name != SNOW):
        verdict = stopped
    distance = hypot(distance_from(band, metrics), beyond)
    floor, cap = (0.0, OK_CAP) if verdict == OK else (FAILED, DEFECT_CAP)
    defect = floor + _pressed(distance, cap - floor)
    return Score(verdict.name, verdict.reason, defect, dial(metrics, band), metrics)


def distance_from(band: Band, metrics: Metrics) -> float:
    """Return the Euclidean distance from the band, in spreads; 0 inside."""
    return sqrt(sum(excess(name, getattr(metrics, name), band.ranges[name]) ** 2 for name in METRIC_SCALES))


def dial(metrics: Metrics, band: Band) -> float:
    """Return the mean signed distance of the rising metrics from their typical values, in spreads."""
    return sum(deviation(name, getattr(metrics, name), band[name]) for name in RISING) / len(RISING)


def _pressed(distance: float, limit: float) -> float:
    """Press a distance below a limit, with slope 1 at 0, so that no difference is ever lost to a cap."""
    return limit * distance / (limit + distance)


def score_row(score: Score) -> dict:
    """Return the part of an image's row that scoring fills in."""
    found = {"verdict": score.verdict, "defect": score.defect, "dial": score.dial, "reason": score.reason}
    return found | asdict(score.metrics)


def number(stored: float | None) -> float:
    """Return a stored number as it was before: an undefined one is stored as None."""
    return float("nan") if stored is None else stored
