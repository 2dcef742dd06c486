"""The curve that a probe expected, beside what was drawn."""

from collections.abc import Iterator
from html import escape

from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.probe import agreement_text, drawn_losses, expectation_of

PROBE_ABOUT = (
    "Before anything was drawn, each merge was asked for the references under noise. From 1 on, images are "
    "expected to fail; an image that was drawn and failed has a loss from 1 to 2. It expected {}; {}."
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
    yield Figure(
        "along", "probe", "Expected before drawing", PROBE_ABOUT.format(*said), data, layout, along=True
    )
