"""The verdict on a picture: one word for how it broke, with the reason.

The learned gate says whether and how a picture broke (`gridsearch.score.gate`); of those that did, absolute
thresholds tell the empty ones. Pictures too small for it, metrics of earlier versions, and the verdicts whose
thresholds an experiment sets are judged by rules, tried in a fixed order. The relative rules are multiples of
the band's edges: a wide band, such as POPULATION, makes them lenient, and a property that the picture's own
reference shares is not a fault.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from math import inf, isnan, sqrt
from typing import Literal, get_args

from gridsearch.score.band import POPULATION, Band
from gridsearch.score.gate import evidence
from gridsearch.score.measure import WORKING_SIDE
from gridsearch.score.metrics import Metrics
from gridsearch.score.reasons import expected, filled, reason_of

VerdictName = Literal["ok", "blank", "ghost", "burnt", "noise", "black", "nan"]
VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)

BLACK_BRIGHTNESS = 8.0  # levels of mean luma; a picture of one tone that is darker is black
FAINTEST = 3.0  # levels of contrast; with less a picture is empty, whatever its style


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
# Parts of the thresholds of a burn, where flat white and black are not counted.
# Least clipping and contrast: of a coloured picture, and of a vivid one.
GARISH: tuple[tuple[float, float], ...] = ((0.55, 1.07),)
LOUD = ((0.8, 0.9), (0.0, 1.4))
COLOURED, VIVID = 32.0, 60.0  # colourfulness
CHARRED = 0.35  # share of channel values that are clipped amid detail
PALE, PALE_AND_SOFT = 0.54, 0.65  # of the typical contrast
UNSURE = 3.0  # these two rules decide only where the gate's own logit is at most so far below 0
SOFT = 2.1  # of the largest healthy blur
OTHER_LIGHT = 35.0  # levels of mean luma
RESTLESS = 1.5  # levels of coloured detail of 4 px in the quietest tenth of the blocks
SNOW = "noise"
# The gate's way to break -> verdict.
WAYS = {"ghost": "ghost", "burnt": "burnt", "noise": SNOW, "shards": SNOW}
NOT_FINITE = Verdict("nan", "the render has values that are not finite")


def verdict_of(metrics: Metrics, band: Band, thresholds: Thresholds = USUAL_THRESHOLDS) -> Verdict:
    """Return the verdict on a picture, given a band."""
    if isnan(metrics.contrast):  # only UNDEFINED has none
        return NOT_FINITE
    found = evidence(metrics, band.reference)
    if found is None:
        gates: tuple[Rule, ...] = (_empty, _snow, _burnt, _shards, _grainy, _ghost)
        return next(chain.from_iterable(gate(metrics, band, thresholds) for gate in gates), OK)
    ruled = _set_by_hand(thresholds)
    empty = next(_empty(metrics, band, thresholds), OK)
    if empty != OK and (found.beyond > 0 or "blank" in ruled or metrics.contrast < FAINTEST):
        return empty
    doubtful: tuple[Rule, ...] = (_garish, _grey) if found.beyond - found.second > -UNSURE else ()
    rules = (*doubtful, *(rule for name in sorted(ruled) for rule in RULES.get(name, ())))
    verdict = next(chain.from_iterable(rule(metrics, band, thresholds) for rule in rules), OK)
    if verdict == OK and found.beyond > 0 and WAYS[found.way] not in ruled:
        return Verdict(WAYS[found.way], reason_of(found, metrics, band))
    return verdict


def _set_by_hand(thresholds: Thresholds) -> set[str]:
    """Return the verdicts that an experiment's own thresholds decide."""
    given, usual = asdict(thresholds), asdict(USUAL_THRESHOLDS)
    return {name.split("_")[0] for name in given if given[name] != usual[name]}


def usable_reference(metrics: Metrics, thresholds: Thresholds = USUAL_THRESHOLDS) -> bool:
    """Return whether a parent's own render may define healthy: it passes all gates without a reference."""
    return verdict_of(metrics, POPULATION, thresholds) == OK


# -- the gates, each of which yields a verdict where it fires


def _empty(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    if metrics.contrast < limits.blank_contrast:
        if metrics.brightness < BLACK_BRIGHTNESS:
            yield Verdict("black", f"its mean luma is {metrics.brightness:.1f} of 255")
        spread = f"it has a contrast of only {metrics.contrast:.1f} levels"
        yield Verdict("blank", spread + expected(band, "contrast"))
    if metrics.detail < min(limits.blank_detail, band["detail"].low):
        yield Verdict("blank", filled(metrics) + expected(band, "detail"))


def _snow(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire where neighbouring pixels are unrelated; tried before burnt, because strong noise clips."""
    scale = _noise_scale(metrics)
    least = min(1 - (1 - limits.noise_correlation) * scale, _low(band, "autocorrelation"))
    # Flat areas must have some grain too: a picture full of hatching or foliage is not noise.
    grain = metrics.noise > max(limits.noise_sigma / 4 * scale, _high(band, "noise"))
    if metrics.autocorrelation < least and grain:
        correlation = f"neighbouring pixels have a correlation of only {metrics.autocorrelation:.2f}"
        yield Verdict(SNOW, correlation + expected(band, "autocorrelation"))


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
        yield Verdict("burnt", clipped + expected(band, "clipped"))


def _garish(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for a hard and coloured picture that clips off its ground, or any that clips most of its detail.

    To the gate, flat and loud shapes look like a poster.
    """
    steps = GARISH if metrics.colourfulness > COLOURED else ()
    if metrics.colourfulness > max(VIVID, band["colourfulness"].high):
        steps = (*GARISH, *LOUD)
    least = max(limits.burnt_contrast, band["contrast"].typical)
    garish = any(
        metrics.clipped_picture > max(clipped * limits.burnt_clipped, band["clipped"].high * (clipped > 0))
        and metrics.contrast > hard * least
        for clipped, hard in steps
    )
    usual = band.reference.clipped_detail if band.reference else 0.0
    charred = metrics.clipped_detail > max(CHARRED, 2 * usual) and metrics.contrast > 1.4 * least
    if garish or charred:
        share = f"{metrics.clipped:.0%} of the channel values are clipped"
        yield Verdict("burnt", share + expected(band, "clipped"))


def _grey(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for a grey picture with little contrast, or less little and soft, and neither black nor white."""
    soft = metrics.blur > SOFT * _high(band, "blur", missing=inf)
    pale = metrics.contrast < (PALE_AND_SOFT if soft else PALE) * band["contrast"].typical
    colourless = metrics.colourfulness < band["colourfulness"].low
    if pale and colourless and metrics.darkest > 25 and metrics.brightest < 215:
        contrast = f"it has a contrast of {metrics.contrast:.0f} levels"
        yield Verdict("ghost", contrast + expected(band, "contrast"))


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
        yield Verdict(SNOW, grain + expected(band, "noise"))


def _shards(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for what clips, is far lighter or darker than the reference, and nowhere at rest as that is."""
    found = band.reference
    if found and abs(metrics.brightness - found.brightness) > OTHER_LIGHT:
        rest = max(RESTLESS, 2 * found.colour_quiet_4)
        if metrics.colour_quiet_4 > rest and metrics.clipped > band["clipped"].high + 0.02:
            detail = f"even its quietest parts have coloured grain of {metrics.colour_quiet_4:.1f} levels"
            yield Verdict(SNOW, detail + expected(band, "colour_quiet_4"))


def _ghost(metrics: Metrics, band: Band, limits: Thresholds) -> Iterator[Verdict]:
    """Fire for a very pale picture, a pale one that is blurred or empty, or a very blurred one."""
    healthy, sharp = band["contrast"], _high(band, "blur", missing=inf)
    pale = f"it has a contrast of {metrics.contrast:.0f} levels" + expected(band, "contrast")
    blurred = f"it has edges {metrics.blur:.1f} px wide" + expected(band, "blur")
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
            yield Verdict("ghost", f"{pale}, and {filled(metrics)}")


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


Rule = Callable[[Metrics, Band, Thresholds], Iterator[Verdict]]
RULES: dict[str, tuple[Rule, ...]] = {"burnt": (_burnt,), SNOW: (_snow, _grainy)}  # that have thresholds
