"""Figures along the ratio: the verdicts, the survivors, the defect, and a few metrics."""

from collections.abc import Iterator
from html import escape

import pandas as pd

from gridsearch.base.words import slice_text
from gridsearch.report.colours import SLICE_COLOURS, VERDICT_COLOURS, verdict_colour
from gridsearch.report.figures.figure import (
    BEST_LINE,
    HOLLOW,
    INTERVAL_FILL,
    WINDOW_FILL,
    Figure,
    Shown,
    add_level,
    adds_figures,
    band,
    bars,
    best_line,
    hover,
    parents,
    plain_layout,
    scatter,
)
from gridsearch.report.figures.prompt_lines import prompt_lines
from gridsearch.results.analysis.answer import Slice
from gridsearch.score.metrics import CHARTED, METRICS

WINDOW_STROKE = "rgba(0,158,115,0.45)"
# Column -> title, and what the figure shows.
RESULT_FIGURES = {
    "survived": ("Survived", "The share of healthy images."),
    "defect": ("Distance from healthy", "The mean defect: 0 is inside the healthy band, larger is worse."),
}


@adds_figures
def along_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the bars of the verdicts for each slice, and a figure of curves for each column."""
    if shown.curves:
        yield from (_verdicts(shown, i, *curve) for i, curve in enumerate(shown.curves))
        yield from (_curves(shown, column, *words) for column, words in (RESULT_FIGURES | CHARTED).items())


def _verdicts(shown: Shown, number: int, found: Slice, trials: pd.DataFrame) -> Figure:
    """Return the shares of the verdicts at each ratio as stacked bars, survivors at the bottom."""
    images = shown.results.images.merge(trials[["trial", "at"]], on="trial")
    shares = pd.crosstab(images["at"], images["verdict"], normalize="index")
    order = [v for v in VERDICT_COLOURS if v in shares] + [v for v in shares if v not in VERDICT_COLOURS]
    order.sort(key=lambda verdict: verdict != "ok")
    hatched = {"shape": ["/" if at in found.estimated else "" for at in shares.index]}
    data = []
    for verdict in order:
        words = hover(f"{escape(shown.axis)} %{{x}}", f"%{{y:.0%}} {escape(verdict)}")
        bar = bars(shares.index, shares[verdict], verdict_colour(verdict), hovertemplate=words)
        data.append(bar | {"name": escape(verdict), "marker": bar["marker"] | {"pattern": hatched}})
    layout = plain_layout(
        shown.axis, "share of the images", _brackets(found), showlegend=True, barmode="stack"
    )
    layout["yaxis"] |= {"range": [0, 1.07], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout["legend"] = {"traceorder": "normal"}
    where = slice_text(found.settings)
    about = f"How many images are healthy at each {shown.axis}, and how the others failed."
    return Figure(
        "along",
        f"verdicts-{number}",
        "What survives" + (f": {where}" if where else ""),
        about
        + (" Hatched bars are estimates from trials that were stopped early." if found.estimated else ""),
        data,
        layout,
        wide=len(shown.curves) == 1,
        along=True,
    )


def _curves(shown: Shown, column: str, title: str, about: str) -> Figure:
    """Return a column's mean along the ratio, a line per slice; for a metric with the parents' levels."""
    data = [_line(shown, column, i, *curve) for i, curve in enumerate(shown.curves)]
    axis = "share of the images" if column == "survived" else column
    layout = plain_layout(shown.axis, axis, _shades(shown.curves[0][0]), showlegend=len(shown.curves) > 1)
    if column == "survived":
        layout["yaxis"] |= {"range": [-0.02, 1.04], "tickformat": ".0%"}
    if column in METRICS and METRICS[column].percent:
        highest = max((value for line in data for value in line["y"] if value is not None), default=0)
        layout["yaxis"] |= {"tickformat": ".0%", "range": [0, max(1.08 * highest, 0.1)]}
    if column in CHARTED:
        for i, (label, means) in enumerate(parents(shown.results, column)):  # two labels do not meet
            add_level(layout, float(means[column]), label, left=i % 2 == 1)
    elif any(found.estimated for found, _ in shown.curves):
        about += " Hollow dots are estimates from trials that were stopped early."
    lines = prompt_lines(shown.curves, shown.results, column)
    return Figure("along", column, title, about, data, layout, along=True, prompts=lines)


def _line(shown: Shown, column: str, number: int, found: Slice, trials: pd.DataFrame) -> dict:
    mean = trials.groupby("at")[column].mean()
    estimated = [at in found.estimated for at in mean.index]
    return scatter(
        mean.index,
        mean,
        "lines+markers",
        name=escape(slice_text(found.settings) or "mean"),
        line={"color": SLICE_COLOURS[number], "width": 2.5},
        marker={
            "size": [9 if one else 6 for one in estimated],
            "symbol": [HOLLOW if one else "circle" for one in estimated],
        },
        hovertemplate=hover(f"{escape(shown.axis)} %{{x}}", f"{column} %{{y:.3g}}"),
    )


def _shades(found: Slice) -> list[dict]:
    """Return the window, the interval and the best ratio, behind the curves."""
    shapes = []
    if found.window:
        shapes.append(band(found.window.low.inside, found.window.high.inside, WINDOW_FILL))
    if found.interval:
        shapes.append(band(found.interval.low, found.interval.high, INTERVAL_FILL))
    return [*shapes, best_line(found.ratio)]


def _brackets(found: Slice) -> list[dict]:
    """Return window and interval as strokes above the bars, which would hide a shade, and the best ratio."""
    spans = []
    if found.window:
        spans.append((found.window.low.inside, found.window.high.inside, WINDOW_STROKE))
    if found.interval:
        spans.append((found.interval.low, found.interval.high, BEST_LINE))
    strokes = [
        {"type": "line", "x0": low, "x1": high, "y0": 1.04, "y1": 1.04, "line": {"color": colour, "width": 7}}
        for low, high, colour in spans
    ]
    best = {"type": "line", "x0": found.ratio, "x1": found.ratio, "y0": 0, "y1": 1.04}
    return [*strokes, best | {"line": {"color": "#ffffff", "width": 1.5, "dash": "dot"}}]
