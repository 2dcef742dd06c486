"""The score of a picture: a verdict, the distance from healthy, and on which side it lies.

distance  = root of the sum of squares of each metric's distance outside its interval, in spreads, and
            of each plug-in scorer's distance beyond the references, times its weight
defect    = distance pressed below OK_CAP, where the verdict is "ok"
          = FAILED + distance pressed below the rest of DEFECT_CAP, where it is not
"""

from dataclasses import asdict, dataclass
from math import hypot, nan, sqrt

import numpy as np

from gridsearch.score.band import Band, deviation, excess
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_SCALES, METRICS, UNDEFINED, Metrics
from gridsearch.score.verdict import NOT_FINITE, OK, SNOW, USUAL_THRESHOLDS, Thresholds, Verdict, verdict_of

OK_CAP = 4.0  # a picture that passes all gates stays below this
FAILED = 5.0  # one that fails starts here
DEFECT_CAP = 10.0  # and stays below this; a render that is not finite has exactly this
RISING = tuple(name for name, metric in METRICS.items() if metric.rises)  # along a ratio: the dial's metrics


@dataclass(frozen=True)
class Score:
    """The verdict, the defect and the metrics of one picture."""

    verdict: str  # one of `verdict.VERDICTS`
    reason: str  # in words; empty for "ok"
    defect: float  # 0 inside the healthy band, larger is worse, at most DEFECT_CAP
    dial: float  # in spreads: below 0 is under-cooked (pale), above 0 over-cooked (garish), nan if not finite
    metrics: Metrics


def score(
    rgb: np.ndarray,
    band: Band,
    *,
    finite: bool = True,
    stopped: Verdict | None = None,
    beyond: float = 0.0,
    thresholds: Thresholds = USUAL_THRESHOLDS,
) -> Score:
    """Score one picture against a band.

    Args:
        rgb: uint8 (H, W, 3).
        finite: whether all values were finite before they became 8 bits; if not, the pixels are not used.
        stopped: the verdict of early abort, where the picture is the prediction at which rendering stopped.
            If it was noise, the picture's own verdict counts, unless that is "ok".
        beyond: the distance that plug-in scorers add, in spreads; it does not change the verdict.
    Raises:
        BadInput: another shape or dtype.
    """
    if not finite:
        return Score(NOT_FINITE.name, NOT_FINITE.reason, DEFECT_CAP, nan, UNDEFINED)
    metrics = measure(rgb)
    verdict = verdict_of(metrics, band, thresholds)
    if stopped and (verdict == OK or stopped.name != SNOW):
        verdict = stopped
    outside = (excess(name, getattr(metrics, name), band.intervals[name]) for name in METRIC_SCALES)
    distance = hypot(sqrt(sum(one**2 for one in outside)), beyond)
    floor, cap = (0.0, OK_CAP) if verdict == OK else (FAILED, DEFECT_CAP)
    limit = cap - floor
    defect = floor + limit * distance / (limit + distance)  # below the cap, and every difference is kept
    # the mean signed distance of the rising metrics from their typical values, in spreads
    dial = sum(deviation(name, getattr(metrics, name), band[name]) for name in RISING) / len(RISING)
    return Score(verdict.name, verdict.reason, defect, dial, metrics)


def score_row(score: Score) -> dict:
    """Return the columns of an image's score."""
    judged = {"verdict": score.verdict, "defect": score.defect, "dial": score.dial, "reason": score.reason}
    return judged | asdict(score.metrics)


def number(stored: float | None) -> float:
    """Return a stored number as it was: undefined ones are stored as None."""
    return float("nan") if stored is None else stored
