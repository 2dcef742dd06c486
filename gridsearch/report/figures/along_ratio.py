"""Figures along the ratio: the verdicts, the survivors, the defect, and a few metrics.

The page can switch on the prompts' own lines in the latter.
"""

from collections.abc import Iterator
from html import escape

import numpy as np
import pandas as pd

from gridsearch.base.words import prompt_labels, shorten, slice_text
from gridsearch.report.colours import SLICE_COLOURS, VERDICT_COLOURS, verdict_colour
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.answer import Slice
from gridsearch.results.columns import CONTENT
from gridsearch.results.results import Results
from gridsearch.score.metrics import CHARTED, METRICS

WINDOW_STROKE = "rgba(0,158,115,0.45)"
NAMED = 60  # letters of a prompt in a line's name
# Column -> title, and what the figure shows.
RESULT_FIGURES = {
    "survived": ("Healthy images", "Their share at each place."),
    "defect": ("Distance from healthy", "The mean defect: 0 is inside the healthy band, larger is worse."),
}
CONTENT_FIGURE = (
    "Content",
    "How much of the prompt the parents find in a picture: by how much the prompt lowers their error when "
    "they predict noise that is added to it. Higher is better.",
)


@adds_figures
def along_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the bars of the verdicts for each slice, and a figure of curves for each column."""
    if shown.curves:
        yield from (_verdicts(shown, i, *curve) for i, curve in enumerate(shown.curves))
        content = {CONTENT: CONTENT_FIGURE} if CONTENT in shown.results.scorers else {}
        figures = RESULT_FIGURES | content | CHARTED
        yield from (_curves(shown, column, *words) for column, words in figures.items())


def _verdicts(shown: Shown, number: int, found: Slice, trials: pd.DataFrame) -> Figure:
    """Return the shares of the verdicts at each ratio as stacked bars, survivors at the bottom.

    Window and interval are strokes above the bars, which would hide a shade.
    """
    images = shown.results.images.merge(trials[["trial", "at"]], on="trial")
    shares = pd.crosstab(images["at"], images["verdict"], normalize="index")
    order = [v for v in VERDICT_COLOURS if v in shares] + [v for v in shares if v not in VERDICT_COLOURS]
    order.sort(key=lambda verdict: verdict != "ok")
    # The legend takes the pattern of a trace's first bar, so those that were measured come first.
    first = sorted(range(len(shares)), key=lambda i: shares.index[i] in found.estimated)
    hatched = {"shape": ["/" if shares.index[i] in found.estimated else "" for i in first]}
    data = []
    for verdict in order:
        words = draw.hover(f"{escape(shown.axis)} %{{x}}", f"%{{y:.0%}} {escape(verdict)}")
        bar = draw.bars(shares.index, shares[verdict], verdict_colour(verdict), hovertemplate=words)
        bar |= {key: [bar[key][i] for i in first] for key in ("x", "y", "width")} if len(first) > 1 else {}
        data.append(bar | {"name": escape(verdict), "marker": bar["marker"] | {"pattern": hatched}})
    strokes = [
        {"type": "line", "x0": low, "x1": high, "y0": at, "y1": at, "line": {"color": colour, "width": 5}}
        for low, high, colour in _spans(found, WINDOW_STROKE, draw.BEST_LINE)
        for at in (1.03 if colour == WINDOW_STROKE else 1.065,)
    ]
    best: dict = {"type": "line", "x0": found.ratio, "x1": found.ratio, "y0": 0, "y1": 1.04}
    best["line"] = {"color": "#ffffff", "width": 1.5, "dash": "dot"}
    layout = draw.plain_layout(shown.axis, "share of the images", [*strokes, best], showlegend=True)
    layout |= {"barmode": "stack", "legend": {"traceorder": "normal"}}
    layout["yaxis"] |= {"range": [0, 1.09], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    where = slice_text(found.settings)
    title = "What survives" + (f": {where}" if where else "")
    about = f"How many images are healthy at each {shown.axis}, and how the others failed."
    about += " Above, green is where it survives and blue where the best lies; dots mark the one to take"
    sound = shares.get("ok", shares.iloc[:, 0] * 0)
    luck = ", chosen over its neighbours and all prompts: a taller bar may be luck."
    about += luck if found.ratio in sound.index and sound[found.ratio] < sound.max() else "."
    if found.estimated:
        about += " Hatched bars are estimates from trials that were stopped early."
    wide = len(shown.curves) == 1
    return Figure("along", f"verdicts-{number}", title, about, data, layout, wide=wide, along=True)


def _curves(shown: Shown, column: str, title: str, about: str) -> Figure:
    """Return a column's mean along the ratio, a line per slice; for a metric with the parents' levels."""
    data = [_line(shown, column, i, *curve) for i, curve in enumerate(shown.curves)]
    axis = "share of the images" if column == "survived" else column
    best = shown.curves[0][0]
    shades = [draw.band(*span) for span in _spans(best, draw.WINDOW_FILL, draw.INTERVAL_FILL)]
    shades.append(draw.best_line(best.ratio))
    layout = draw.plain_layout(shown.axis, axis, shades, showlegend=len(shown.curves) > 1)
    if column == "survived":
        layout["yaxis"] |= {"range": [-0.02, 1.04], "tickformat": ".0%"}
    if column in METRICS and METRICS[column].percent:
        highest = max((value for line in data for value in line["y"] if value is not None), default=0)
        layout["yaxis"] |= {"tickformat": ".0%", "range": [0, max(1.08 * highest, 0.1)]}
    if column not in RESULT_FIGURES:
        for i, (label, means) in enumerate(draw.parents(shown.results, column)):  # two labels do not meet
            draw.add_level(layout, float(means[column]), label, left=i % 2 == 1)
    elif any(found.estimated for found, _ in shown.curves):
        about += " Hollow dots are estimates from trials that were stopped early."
    lines = prompt_lines(shown, column)
    return Figure("along", column, title, about, data, layout, along=True, prompts=lines)


def _line(shown: Shown, column: str, number: int, found: Slice, trials: pd.DataFrame) -> dict:
    mean = trials.groupby("at")[column].mean()
    estimated = [at in found.estimated for at in mean.index]
    return draw.scatter(
        mean.index,
        mean,
        "lines+markers",
        name=escape(slice_text(found.settings) or "mean"),
        line={"color": SLICE_COLOURS[number], "width": 2.5},
        marker={
            "size": [9 if one else 6 for one in estimated],
            "symbol": [draw.HOLLOW if one else "circle" for one in estimated],
        },
        hovertemplate=draw.hover(f"{escape(shown.axis)} %{{x}}", f"{column} %{{y:.3g}}"),
    )


def _spans(found: Slice, window: str, interval: str) -> Iterator[tuple[float, float, str]]:
    """Yield where the window and the interval begin and end, each with its colour."""
    if found.window:
        yield found.window.low.inside, found.window.high.inside, window
    if found.interval:
        yield found.interval.low, found.interval.high, interval


def prompt_names(results: Results) -> list[dict]:
    """Return each rendered prompt in the order of its lines: `{id, text}`, the text escaped for Plotly."""
    prompts = results.images.drop_duplicates("prompt_id")
    labels = prompt_labels(prompts["prompt"])
    return [
        {"id": str(row.prompt_id), "text": escape(shorten(labels[row.prompt], NAMED))}
        for row in prompts.itertuples()
    ]


def prompt_lines(shown: Shown, column: str) -> list[dict]:
    """Return for each curve `{x, y}`: the places, and each prompt's mean of a column at them.

    The values have four digits, more than a line shows; there may be thousands of them.
    """
    images, lines = shown.results.images, []
    values = (images["verdict"] == "ok" if column == "survived" else images[column]).to_numpy(dtype=float)
    prompt, order = pd.factorize(images["prompt_id"])
    for _, trials in shown.curves:
        at = images["trial"].map(trials.set_index("trial")["at"]).to_numpy(dtype=float)
        own = ~np.isnan(at) & ~np.isnan(values)
        places = np.unique(at[~np.isnan(at)])
        cell = prompt[own] * len(places) + np.searchsorted(places, at[own])
        size = len(order) * len(places)
        with np.errstate(invalid="ignore"):  # a prompt without a value at a place has none there
            means = np.bincount(cell, values[own], size) / np.bincount(cell, minlength=size)
        rows = means.reshape(len(order), len(places))
        short = [draw.numbers(float(f"{value:.4g}") for value in row) for row in rows]
        lines.append({"x": draw.numbers(places), "y": short})
    return lines
