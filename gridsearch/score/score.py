"""The score of a picture: a verdict, the distance from healthy, and on which side it lies.

distance  = root of the sum of squares of each metric's distance outside its interval, in spreads, and
            of each plug-in scorer's distance beyond the references, times its weight
defect    = distance pressed below OK_CAP, where the verdict is "ok"
          = FAILED + distance pressed below the rest of DEFECT_CAP, where it is not

The verdict is one word for how the picture broke, with the reason. Its gates are tried in a fixed order, and
the first that fires gives it. The absolute thresholds had no false positive on 56 healthy cells of published
SDXL merge grids. The relative ones are multiples of the band's edges: a wide band, such as POPULATION, makes
them lenient, and a property that the picture's own reference shares is not a fault.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from math import hypot, inf, isnan, nan, sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridsearch.score.band import POPULATION, Band, deviation, excess
from gridsearch.score.measure import WORKING_SIDE, measure
from gridsearch.score.metrics import METRIC_SCALES, METRICS, UNDEFINED, Metrics

VerdictName = Literal["ok", "blank", "ghost", "burnt", "noise", "black", "nan"]
VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)

BLACK_BRIGHTNESS = 8.0  # levels of mean luma; a picture of one tone that is darker is black
OK_CAP = 4.0  # a picture that passes all gates stays below this
FAILED = 5.0  # one that fails starts here
DEFECT_CAP = 10.0  # and stays below this; a render that is not finite has exactly this
RISING = tuple(name for name, metric in METRICS.items() if metric.rises)  # along a ratio: the dial's metrics
SURVIVES = 0.5  # the share of sound images from which a trial counts as surviving


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of the gates, where the band does not set others."""

    blank_contrast: float = 8.0  # levels; less is one tone
    blank_detail: float = 0.05  # share of blocks; fewer are an empty picture
    burnt_clipped: float = 0.30  # share of channel values, together with the next
    burnt_contrast: float = 70.0  # levels
    noise_sigma: float = 4.5  # levels in the flattest areas; renders stay below 1, grainy photographs below 3
    noise_correlation: float = 0.8  # of neighbouring pixels


USUAL_THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Verdict:
    """One of VERDICTS, and the reason: a clause that starts in lower case, empty for "ok"."""

    name: str
    reason: str


OK = Verdict("ok", "")
SNOW = "noise"
NOT_FINITE = Verdict("nan", "the render has values that are not finite")


def verdict_of(metrics: Metrics, band: Band, thresholds: Thresholds = USUAL_THRESHOLDS) -> Verdict:
    """Return the verdict on a picture, given a band."""
    if isnan(metrics.contrast):  # only UNDEFINED has none
        return NOT_FINITE
    gates = _empty, _snow, _burnt, _grainy, _ghost
    return next(chain.from_iterable(gate(metrics, band, thresholds) for gate in gates), OK)


def usable_reference(metrics: Metrics, thresholds: Thresholds = USUAL_THRESHOLDS) -> bool:
    """Return whether a parent's own render may define healthy: it passes all gates without a reference."""
    return verdict_of(metrics, POPULATION, thresholds) == OK


# -- the gates, each of which yields a verdict where it fires


def _empty(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    if metrics.contrast < limits.blank_contrast:
        if metrics.brightness < BLACK_BRIGHTNESS:
            yield Verdict("black", f"its mean luma is {metrics.brightness:.1f} of 255")
        spread = f"it has a contrast of only {metrics.contrast:.1f} levels"
        yield Verdict("blank", spread + _expected(band, "contrast"))
    if metrics.detail < min(limits.blank_detail, band["detail"].low):
        yield Verdict("blank", _filled(metrics) + _expected(band, "detail"))


def _snow(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire where neighbouring pixels are unrelated; tried before burnt, because strong noise clips."""
    scale = _noise_scale(metrics)
    least = min(1 - (1 - limits.noise_correlation) * scale, _low(band, "autocorrelation"))
    # Flat areas must have some grain too: a picture full of hatching or foliage is not noise.
    grain = metrics.noise > max(limits.noise_sigma / 4 * scale, _high(band, "noise"))
    if metrics.autocorrelation < least and grain:
        correlation = f"neighbouring pixels have a correlation of only {metrics.autocorrelation:.2f}"
        yield Verdict(SNOW, correlation + _expected(band, "autocorrelation"))


def _burnt(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for clipping with contrast or strong colours; the more is clipped, the less of those it takes.

    Without references, strong colours alone do not count: a flower on black is clipped and vivid too.
    """
    beyond = metrics.clipped - band["clipped"].high
    vivid = metrics.colourfulness > band["colourfulness"].high
    raised = metrics.contrast > band["contrast"].typical
    strong = metrics.contrast > limits.burnt_contrast or (vivid and raised)
    absolute = metrics.clipped > limits.burnt_clipped and beyond > 0.1 and strong
    contrasty = beyond > 0.12 and metrics.contrast > band["contrast"].high
    flat_out = beyond > 0.4 or (beyond > 0.25 and raised) or (beyond > 0.12 and vivid)
    if absolute or contrasty or (band.references > 0 and flat_out):
        clipped = f"{metrics.clipped:.0%} of the channel values are clipped"
        yield Verdict("burnt", clipped + _expected(band, "clipped"))


def _grainy(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for strong grain in flat areas, or for half as much where the picture is also loose or clipped.

    Loose: neighbouring pixels are less related than they should be. Clipped: much of the grain is cut off.
    """
    scale = _noise_scale(metrics)
    strong = metrics.noise > max(limits.noise_sigma * scale, 2 * _high(band, "noise"))
    visible = metrics.noise > max(limits.noise_sigma / 2 * scale, 3 * _high(band, "noise"))
    least = min(1 - (1 - limits.noise_correlation) / 2 * scale, _low(band, "autocorrelation"))
    cut_off = metrics.clipped > max(limits.burnt_clipped, band["clipped"].high)
    if strong or (visible and (metrics.autocorrelation < least or cut_off)):
        grain = f"flat areas have a grain of {metrics.noise:.1f} levels"
        yield Verdict(SNOW, grain + _expected(band, "noise"))


def _ghost(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for a very pale picture, a pale one that is blurred or empty, or a very blurred one."""
    healthy, sharp = band["contrast"], _high(band, "blur", missing=inf)
    pale = f"it has a contrast of {metrics.contrast:.0f} levels" + _expected(band, "contrast")
    blurred = f"it has edges {metrics.blur:.1f} px wide" + _expected(band, "blur")
    if metrics.contrast < min(0.5 * healthy.typical, 0.65 * healthy.low):
        yield Verdict("ghost", pale)
    if metrics.blur > 4 * sharp:
        yield Verdict("ghost", blurred)
    if metrics.contrast <= 0.75 * healthy.typical:
        if isnan(metrics.blur):
            yield Verdict("ghost", f"{pale}, and no edges")
        if metrics.blur > 2 * sharp:
            yield Verdict("ghost", f"{pale}, and {blurred}")
        if metrics.detail < band["detail"].low / 3:
            yield Verdict("ghost", f"{pale}, and {_filled(metrics)}")


def _noise_scale(metrics: Metrics) -> float:
    """Return the factor of the noise thresholds: 1 at full size, 2.8 at 64 px.

    In a small picture neighbouring pixels are further apart, so outlines and texture look like grain.
    """
    return sqrt(WORKING_SIDE / min(metrics.side, WORKING_SIDE))


def _low(band: Band, name: str) -> float:
    healthy = band.intervals[name]
    return healthy.low if healthy else inf  # the absolute threshold alone decides


def _high(band: Band, name: str, missing: float = 0.0) -> float:
    healthy = band.intervals[name]
    return healthy.high if healthy else missing


def _filled(metrics: Metrics) -> str:
    return f"only {metrics.detail:.0%} of its blocks show anything"


def _expected(band: Band, name: str) -> str:
    """Return the value to compare with as the end of a sentence: ", its reference has 4%"."""
    value = getattr(band.own, name) if band.own else band[name].typical
    if isnan(value):
        return ""
    number = METRICS[name].text(value)
    if band.own:
        return f", its reference has {number}"
    others = "the references" if band.references else "healthy pictures"
    return f", {others} have about {number}"


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
    outside = (excess(name, getattr(metrics, name), band.intervals[name]) for name in METRIC_SCALES)
    distance = hypot(sqrt(sum(one**2 for one in outside)), beyond)
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
