"""The score of a picture: a verdict, the distance from healthy, and on which side it lies.

distance  = root of the sum of squares of each metric's distance outside its interval, in spreads, of what
            speaks for the picture being broken, and of each plug-in scorer's distance beyond the references,
            times its weight
defect    = distance pressed below OK_CAP, where the verdict is "ok"
          = FAILED + distance pressed below the rest of DEFECT_CAP, where it is not
"""

from dataclasses import asdict, dataclass
from math import hypot, isnan, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridsearch.score.band import Band, deviation, excess
from gridsearch.score.gate import evidence
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_SCALES, METRICS, UNDEFINED, Metrics
from gridsearch.score.verdict import (
    NOT_FINITE,
    OK,
    SNOW,
    USUAL_THRESHOLDS,
    Thresholds,
    Verdict,
    verdict_of,
)

OK_CAP = 4.0  # a picture that passes all gates stays below this
FAILED = 5.0  # one that fails starts here
DEFECT_CAP = 10.0  # and stays below this; a render that is not finite has exactly this
RISING = tuple(name for name, metric in METRICS.items() if metric.rises)  # along a ratio: the dial's metrics
SURVIVES = 0.5  # the share of sound images from which a trial counts as surviving
OUTSIDE = 0.1  # the weight of the metrics' distance from their intervals beside what the gate says
CLIPPING = 2.0  # spreads; clipped farther is not worse, for many styles clip
DOUBT = 4.0  # what speaks for a picture being broken counts from a logit so far below 0 on


@dataclass(frozen=True)
class Score:
    """The verdict, the defect and the metrics of one picture."""

    verdict: str  # one of VERDICTS
    reason: str  # in words; empty for "ok"
    defect: float  # 0 inside the healthy band, larger is worse, at most DEFECT_CAP
    dial: float  # in spreads: below 0 is under-cooked (pale), above 0 over-cooked (garish), nan if not finite
    metrics: Metrics


NEVER_FINITE = Score(NOT_FINITE.name, NOT_FINITE.reason, DEFECT_CAP, nan, UNDEFINED)


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
        return NEVER_FINITE
    return score_of(measure(rgb), band, stopped=stopped, beyond=beyond, thresholds=thresholds)


def score_of(
    metrics: Metrics,
    band: Band,
    *,
    stopped: Verdict | None = None,
    beyond: float = 0.0,
    thresholds: Thresholds = USUAL_THRESHOLDS,
) -> Score:
    """Score a picture by its metrics, see `score`."""
    verdict = verdict_of(metrics, band, thresholds)
    if stopped and (verdict == OK or stopped.name != SNOW):
        verdict = stopped
    distance = hypot(_distance(metrics, band), beyond)
    floor, cap = (0.0, OK_CAP) if verdict == OK else (FAILED, DEFECT_CAP)
    limit = cap - floor
    defect = floor + limit * distance / (limit + distance)  # below the cap, and every difference is kept
    # the mean signed distance of the rising metrics from their typical values, in spreads
    dial = sum(deviation(name, getattr(metrics, name), band[name]) for name in RISING) / len(RISING)
    return Score(verdict.name, verdict.reason, defect, dial, metrics)


def farther(verdict: str, defect: float, more: float) -> float:
    """Return a picture's defect with a further distance added to the others, in spreads."""
    floor, cap = (0.0, OK_CAP) if verdict == OK.name else (FAILED, DEFECT_CAP)
    limit, pressed = cap - floor, defect - floor
    if not 0 <= pressed < limit:  # it cannot be worse
        return defect
    distance = hypot(limit * pressed / (limit - pressed), more)
    return floor + limit * distance / (limit + distance)


def _outside(metrics: Metrics, band: Band) -> float:
    """Return the distance of the metrics from their intervals, in spreads; of clipping, at most CLIPPING.

    White paper and black nights are clipped, and more of them is no fault.
    """
    found = {name: excess(name, getattr(metrics, name), band.intervals[name]) for name in METRIC_SCALES}
    if found["clipped"] > 0 and not isnan(metrics.clipped_picture):
        beyond = metrics.clipped_picture > band["clipped"].high
        found["clipped"] = min(found["clipped"], CLIPPING) if beyond else 0.0
    return sqrt(sum(one**2 for one in found.values()))


def _distance(metrics: Metrics, band: Band) -> float:
    """Return how far a picture is from sound ones: by its metrics, and by the gate where that can tell."""
    found, outside = evidence(metrics, band.reference), _outside(metrics, band)
    if found is None:
        return outside
    return hypot(OUTSIDE * outside, max(found.beyond_clipping + DOUBT, 0.0))


def score_row(score: Score) -> dict:
    """Return the columns of an image's score."""
    judged = {"verdict": score.verdict, "defect": score.defect, "dial": score.dial, "reason": score.reason}
    return judged | asdict(score.metrics)


def number(stored: float | None) -> float:
    """Return a stored number as it was: undefined ones are stored as None."""
    return float("nan") if stored is None else stored


def image_losses(verdicts: ArrayLike, defects: ArrayLike) -> NDArray[np.float64]:
    """Return each image's loss, from 0 to 2: 1 if it failed, plus its distance from healthy squashed to 0..1.

    The mean orders trials as the ranking does, survived first and then defect, and is bounded, so that one
    absurd image does not move the curve. Below 1 is sound, 1 and above failed.

    Args:
        verdicts: words, "ok" where the image is sound.
        defects: one per verdict; one that is not finite counts as the worst.
    """
    failed = np.asarray(verdicts) != "ok"
    defects = np.asarray(defects, dtype=float)
    finite = np.isfinite(defects)
    squashed = np.where(finite, defects / (1 + np.where(finite, defects, 0.0)), 1.0)
    return failed + squashed
