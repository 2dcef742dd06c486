"""The size of a probe, and the first look along a ratio where one tells what to expect."""

from collections.abc import Sequence

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import Range
from gridsearch.results.analysis.probe import Expectation
from gridsearch.search.samplers.axis import RatioAxis, coarse_left, make_axis, nearest_value
from gridsearch.search.samplers.window import Seen

MOST_PROBED = 21  # ratios: between them the curve is straight enough
REFERENCES_ASKED = 8
# At less noise any merge finds a reference; at more, what it takes for one is not what it draws. Measured on
# pictures of 64 px; a level that each model chooses by its own error was worse.
PROBED_AT = (300, 400)
SHARES = [i / 10 for i in range(11)]  # of all ranges, where several ratios are searched
GRADIENT = 4  # calls that a gradient takes as long as: forward, forward again, and twice that back


def probed_along(experiment: Experiment) -> dict[str, Range]:
    """Return what a probe follows: one number, or several ratios; none where something else is searched."""
    searched = experiment.searched()
    ranges = {name: values for name, values in searched.items() if isinstance(values, Range)}
    ratios = [name for name in ranges if "ratio" in name.split(".")]
    return ranges if len(searched) == len(ranges) == max(1, len(ratios)) else {}


def probed_ratios(experiment: Experiment) -> list[float]:
    """Return the ratios that are probed, evenly spread over all; none where no probe is asked for.

    Of several ratios they are shares of their ranges, at which all of them are at once.
    """
    if not experiment.search.probe:
        return []
    if len(ranges := probed_along(experiment)) > 1:
        return SHARES
    (along,) = ranges.values()  # see `by_name.require_suits`
    values = make_axis(along.low, along.high, along.step).values
    count = min(MOST_PROBED, len(values))
    return [values[round(i * (len(values) - 1) / max(count - 1, 1))] for i in range(count)]


def probe_calls(experiment: Experiment) -> int:
    """Return how often the UNet is called for a probe at most, for each branch of its guidance."""
    ratios = len(probed_ratios(experiment))
    gradients = 2 * GRADIENT if len(probed_along(experiment)) > 1 else 0
    return (
        (ratios + bool(ratios) * (1 + gradients)) * REFERENCES_ASKED * len(PROBED_AT)
    )  # 1: their own models


def look_as_expected(expected: Expectation, seen: Sequence[Seen], axis: RatioAxis) -> list[float]:
    """Return the rest of the first look, the likeliest to survive first, as a probe expects it.

    Where the probe expects windows, the best of each comes before all. What has been drawn may contradict it,
    or it may expect nothing to differ: then the first look is the usual one.
    """
    taken = [one.ratio for one in seen]
    usual = coarse_left(taken, axis)
    if not expected.tells() or not expected.holds([(one.ratio, one.loss) for one in seen]):
        return usual
    free = axis.free(axis.values[0] - axis.step, axis.values[-1] + axis.step, taken)
    peaks = [nearest_value(peak, axis.values) for peak in expected.peaks()]
    return list(dict.fromkeys([*(p for p in peaks if p in free), *sorted(usual, key=expected.at)]))
