"""The reasons of verdicts, in words: the trait that is farthest from sound pictures, and its value."""

from math import exp, isnan

from gridsearch.score.band import Band
from gridsearch.score.gate import Suspicion, gate
from gridsearch.score.metrics import METRICS, Metrics

# The gate's way to break -> traits that a person can check: the side that speaks for it, and a clause.
CLAUSES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "ghost": (
        ("contrast", -1, "it has a contrast of {} levels"),
        ("blur", 1, "it has edges {} px wide"),
        ("steep", -1, "only {} of its pixels lie on an edge"),
        ("brightest", -1, "its lightest parts have a luma of only {}"),
    ),
    "burnt": (
        ("clipped", 1, "{} of the channel values are clipped"),
        ("clipped_detail", 1, "{} of the channel values are clipped amid detail"),
        ("contrast", 1, "it has a contrast of {} levels"),
        ("steep", 1, "{} of its pixels lie on a hard edge"),
        ("brightest", 1, "its lightest parts have a luma of {}"),
    ),
    "noise": (
        ("autocorrelation", -1, "neighbouring pixels have a correlation of only {}"),
        ("noise", 1, "flat areas have a grain of {} levels"),
        ("colour_quiet_4", 1, "even its quietest parts have coloured grain of {} levels"),
        ("colour_quiet_8", 1, "even its quietest parts have coarse coloured grain of {} levels"),
        ("flat", -1, "only {} of it is flat"),
    ),
    "shards": (
        ("shapes", -1, "only {} of its contrast lies in large shapes"),
        ("evenness_8", 1, "it is as busy everywhere"),
        ("quiet_8", 1, "even its quietest parts have detail of {} levels"),
        ("clipped_detail", 1, "{} of the channel values are clipped amid detail"),
    ),
}
NOTABLE = 0.5  # spreads; a trait that is nearer says nothing alone
ADJECTIVES = {"ghost": "pale or soft", "burnt": "burnt", "noise": "noisy", "shards": "in shards"}


def reason_of(found: Suspicion, metrics: Metrics, band: Band) -> str:
    """Return the clause on the trait that is farthest off, in the way that the picture broke.

    Where the gate alone would pass it, the clause says that the second look decides.
    """
    if found.beyond <= found.second:
        return f"the second look decides: with it the odds are {exp(found.beyond):.1f} to 1 that it is broken"
    far = {name: side * found.distances[name] for name, side, _ in CLAUSES[found.way]}
    name, _, clause = max(CLAUSES[found.way], key=lambda one: far[one[0]])
    if far[name] < NOTABLE:
        return f"it is a little off in many ways, as pictures that are {ADJECTIVES[found.way]} are"
    return clause.format(METRICS[name].text(getattr(metrics, name))) + expected(band, name)


def expected(band: Band, name: str) -> str:
    """Return the value to compare with as the end of a sentence: ", its reference has 4%"."""
    if band.own:
        value = getattr(band.own, name)
    elif band.intervals.get(name):
        value = band[name].typical
    else:
        value = getattr(band.reference, name) if band.reference else gate().traits[name].typical
    if isnan(value):
        return ""
    number = METRICS[name].text(value)
    if band.own:
        return f", its reference has {number}"
    others = "the references" if band.references else "healthy pictures"
    return f", {others} have about {number}"


def filled(metrics: Metrics) -> str:
    """Return how much of a picture shows anything, as a clause."""
    return f"only {metrics.detail:.0%} of its blocks show anything"
