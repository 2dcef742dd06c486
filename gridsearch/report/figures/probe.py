"""The curve that a probe expected, beside what was drawn; of several ratios, what each was expected to do."""

from collections.abc import Iterator
from html import escape

from gridsearch.base.words import parameter_labels
from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.report.figures.landscape import AXIS, BAR, PERHAPS
from gridsearch.results.analysis.probe import PROBE, agreement_text, drawn_losses, expectation_of
from gridsearch.results.analysis.sensitivity import MATTERS, map_of, probe_agreement

PROBE_ABOUT = (
    "Before anything was drawn, each merge was asked for the references under noise. From 1 on, images are "
    "expected to fail"
)
EARLIER_ABOUT = "Before anything was drawn, the mean losses of an earlier study were taken for what to expect"
LOSSES_ABOUT = "; an image that was drawn and failed has a loss from 1 to 2. It expected {}; {}."
BLOCKS_ABOUT = (
    "How much further off a merge gets over the whole range of a ratio, with all others at {:.0%} of theirs; "
    "below 0, more of it is better. The dark ones together make {:.0%} of the difference: they are worth "
    "searching. Known before anything was drawn; {}."
)
MOST_OFF = 2.0  # as much as a loss can be: further off tells nothing more


@adds_figures
def probe_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the two curves along the ratio, where there was a probe."""
    expected, said = expectation_of(shown.results.facts.probe), agreement_text(shown.results)
    if expected is None or said is None or not shown.curves:
        return
    drawn = drawn_losses(shown.results)
    where = f"{escape(shown.axis)} %{{x}}"
    data = [
        draw.scatter(
            expected.ratios,
            [min(off, MOST_OFF) for off in expected.off],
            "lines",
            name="expected",
            line={"color": SLICE_COLOURS[1], "width": 2.5, "dash": "dash"},
            hovertemplate=draw.hover(where, "expected %{y:.2f}"),
        ),
        draw.scatter(
            [ratio for ratio, _ in drawn],
            [loss for _, loss in drawn],
            "lines+markers",
            name="drawn",
            line={"color": SLICE_COLOURS[0], "width": 2.5},
            marker={"size": 6},
            hovertemplate=draw.hover(where, "mean loss %{y:.2f}"),
        ),
    ]
    best = draw.best_line(shown.best.ratio)
    layout = draw.plain_layout(shown.axis, "off, and loss", [best], showlegend=True)
    layout["yaxis"] |= {"range": [-0.05, 2.05]}
    draw.add_level(layout, 1.0, "images fail")
    about = (PROBE_ABOUT if expected.source == PROBE else EARLIER_ABOUT) + LOSSES_ABOUT.format(*said)
    yield Figure("along", "probe", "Expected before drawing", about, data, layout, along=True)


@adds_figures
def map_figures(shown: Shown) -> Iterator[Figure]:
    """Yield what each ratio was expected to do, where a probe asked for several."""
    found, said = map_of(shown.results.facts.probe), probe_agreement(shown.results)
    if found is None or said is None:
        return
    ratios = sorted(found.ratios, key=lambda one: abs(one.off))  # the largest on top
    labels, worth = parameter_labels([one.name for one in ratios]), found.worth_searching()
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [one.off for one in ratios],
        "y": [escape(labels[one.name]) for one in ratios],
        "marker": {
            "color": [draw.BEST_LINE if one.name in worth else PERHAPS for one in ratios],
            "line": {"width": 0},
        },
        "hovertemplate": draw.hover("%{y}: %{x:+.2f}"),
    }
    layout, about = draw.plain_layout("off", ""), BLOCKS_ABOUT.format(found.share, MATTERS, said[1])
    height, title = AXIS + BAR * len(ratios), "Expected of each ratio before drawing"
    yield Figure("influence", "map", title, about, [bars], layout, wide=True, height=height)
