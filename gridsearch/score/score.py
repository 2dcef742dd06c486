"""The score of one picture: a verdict, how far from healthy, and on which side.

distance  = root of the summed squares of how far each metric lies outside its interval, in spreads,
            and of how far plug-in scorers lie beyond the references, times their weights
defect    = distance pressed below OK_CAP, where the verdict is "ok"
          = FAILED + distance pressed below the rest of DEFECT_CAP, where it is not
"""

from dataclasses import asdict, dataclass
from math import hypot, nan, sqrt

import numpy as np

from gridsearch.score.band import FEATURES, Band, deviation, excess
from gridsearch.score.metrics import UNDEFINED, Metrics, measure
from gridsearch.score.verdict import NOT_FINITE, OK, SNOW, USUAL_THRESHOLDS, Thresholds, Verdict, verdict_of

OK_CAP = 4.0  # a picture that passes all gates stays below this
FAILED = 5.0  # one that fails starts here
DEFECT_CAP = 10.0  # and stays below this; a render that is not finite has exactly this
DIAL_FEATURES = ("contrast", "clipped", "colourfulness")  # those that rise along a ratio


@dataclass(frozen=True)
class Score:
    """What is known about one picture.

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
    thresholds: Thresholds = USUAL_THRESHOLDS,
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
    """Euclidean distance from the band, in spreads; 0 inside."""
    return sqrt(sum(excess(name, getattr(metrics, name), getattr(band, name)) ** 2 for name in FEATURES))


def dial(metrics: Metrics, band: Band) -> float:
    """Mean signed distance of contrast, clipping and colourfulness from their typical values, in spreads."""
    signed = (deviation(name, getattr(metrics, name), getattr(band, name)) for name in DIAL_FEATURES)
    return sum(signed) / len(DIAL_FEATURES)


def _pressed(distance: float, limit: float) -> float:
    """Of slope 1 at 0 and below the limit everywhere, so that no difference is ever lost to a cap."""
    return limit * distance / (limit + distance)


def score_row(score: Score) -> dict:
    """What is thought of an image."""
    judged = {"verdict": score.verdict, "defect": score.defect, "dial": score.dial, "reason": score.reason}
    return judged | asdict(score.metrics)


def number(stored: float | None) -> float:
    """A number as it was before it was stored: an undefined one is None there."""
    return float("nan") if stored is None else stored
