"""The report's figures, one per concern, as Plotly's JSON: `{id, title, about, wide, data, layout}`.

Colours that depend on the page's light or dark are left to the page (`report.js`). Plotly reads a little HTML
in its texts, so every text from outside is escaped here.
"""

from html import escape

import pandas as pd

from gridsearch.base.words import parameter_text, shorten, slice_text
from gridsearch.report.colours import SLICE_COLOURS, VERDICT_COLOURS, verdict_colour
from gridsearch.report.figures.landscape import landscape_figures
from gridsearch.report.figures.prompt_lines import prompt_lines
from gridsearch.report.figures.style import (
    BEST_LINE,
    INTERVAL_FILL,
    WINDOW_FILL,
    WINDOW_STROKE,
    band,
    bar_widths,
    best_line,
    numbers,
    plain_layout,
)
from gridsearch.report.figures.tradeoff import tradeoff
from gridsearch.report.figures.uncertainty import DOUBT, doubt_figures
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import MANY_CURVES, curve_parameter_of, distinct_trials, split_slices
from gridsearch.results.results import Results
from gridsearch.score.metrics import CHARTED, METRICS

BY_PROMPT = ("survived", "defect", *CHARTED)  # figures with a line per prompt
HOLLOW, HATCHED = "circle-open", "/"  # how stopped trials are drawn: their figures are estimates


def figures(results: Results, answer: Answer) -> list[dict]:
    """All figures of the run; none where there is no curve yet, or no number was searched."""
    return [figure for section in sections(results, answer) for figure in section["figures"]]


def sections(results: Results, answer: Answer) -> list[dict]:
    """The figures by what they are about: `{title, about, along, figures}`; none that is empty.

    `along` says of a section, and of a figure, that it runs along the main parameter. A figure may be
    `small`, and may have its `height` in px.
    """
    main = curve_parameter_of(results)
    if main is None or answer.best is None:
        return []
    axis = parameter_text(main)
    found = [
        {
            "title": f"Along the {axis}",
            "about": "",
            "along": True,
            "figures": _along(results, answer, axis) if not answer.projection else [],
        },
        {
            "title": "How sure",
            "about": DOUBT,
            "along": False,
            "figures": doubt_figures(results, answer, axis),
        },
        {
            "title": "What matters",
            "about": "",
            "along": False,
            "figures": landscape_figures(results, answer),
        },
    ]
    if answer.projection:
        found[2]["figures"].append(tradeoff([], results, answer, axis))
    for section in found:
        usual = {"small": False, "height": None, "along": section["along"], "prompts": []}
        section["figures"] = [usual | figure for figure in section["figures"]]
    return [section for section in found if section["figures"]]


def _along(results: Results, answer: Answer, axis: str) -> list[dict]:
    slices = split_slices(results, distinct_trials(results))
    by_settings = {tuple(settings.items()): trials for settings, trials in slices}
    curves = [(found, by_settings[tuple(found.settings.items())]) for found in answer.slices[:MANY_CURVES]]
    if max(trials["at"].nunique() for _, trials in curves) < 2:
        return []
    drawn = [
        _verdicts(found, trials, results, axis, i) | {"wide": len(curves) == 1}
        for i, (found, trials) in enumerate(curves)
    ]
    drawn += [_survived(curves, axis), _defect(curves, axis)]
    drawn += [_metric(curves, results, axis, name) for name in CHARTED]
    drawn = [
        figure | {"prompts": prompt_lines(curves, results, figure["id"]) if figure["id"] in BY_PROMPT else []}
        for figure in drawn
    ]
    return [*drawn, tradeoff(curves, results, answer, axis)]


def _verdicts(found: Slice, trials: pd.DataFrame, results: Results, axis: str, number: int) -> dict:
    """Shares of the verdicts at each ratio, stacked: the story from blank to burnt at a glance."""
    images = results.images.merge(trials[["trial", "at"]], on="trial")
    shares = pd.crosstab(images["at"], images["verdict"], normalize="index")
    order = [v for v in VERDICT_COLOURS if v in shares] + [v for v in shares if v not in VERDICT_COLOURS]
    order.sort(key=lambda verdict: verdict != "ok")  # survivors at the bottom, where shares are compared
    data = [
        {
            "type": "bar",
            "name": escape(verdict),
            "x": numbers(shares.index),
            "y": numbers(shares[verdict]),
            "width": bar_widths(shares.index.to_numpy(dtype=float)),
            "marker": {
                "color": verdict_colour(verdict),
                "line": {"width": 0},
                "pattern": {"shape": [HATCHED if at in found.estimated else "" for at in shares.index]},
            },
            "hovertemplate": f"{escape(axis)} %{{x}}<br>%{{y:.0%}} {escape(verdict)}<extra></extra>",
        }
        for verdict in order
    ]
    where = slice_text(found.settings)
    layout = _layout(axis, "share of the images", found) | {"barmode": "stack", "shapes": _brackets(found)}
    layout["yaxis"] |= {"range": [0, 1.07], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout["legend"] = {"traceorder": "normal"}
    return {
        "id": f"verdicts-{number}",
        "title": "What survives" + (f": {where}" if where else ""),
        "about": "Of the images at each place, how many are sound and how the others broke."
        + (" Hatched: stopped early, so an estimate." if found.estimated else ""),
        "data": data,
        "layout": layout,
    }


def _survived(curves: list[tuple[Slice, pd.DataFrame]], axis: str) -> dict:
    data = [_curve(found, trials, "survived", axis, i) for i, (found, trials) in enumerate(curves)]
    layout = _layout(axis, "share of the images", curves[0][0]) | {"showlegend": len(curves) > 1}
    layout["yaxis"] |= {"range": [-0.02, 1.04], "tickformat": ".0%"}
    return {
        "id": "survived",
        "title": "Survived",
        "wide": False,
        "about": "The share of sound images." + _hollow(curves),
        "data": data,
        "layout": layout,
    }


def _defect(curves: list[tuple[Slice, pd.DataFrame]], axis: str) -> dict:
    return {
        "id": "defect",
        "title": "Distance from healthy",
        "wide": False,
        "about": "Mean defect: 0 is inside the healthy band, larger is worse." + _hollow(curves),
        "data": [_curve(found, trials, "defect", axis, i) for i, (found, trials) in enumerate(curves)],
        "layout": _layout(axis, "defect", curves[0][0]) | {"showlegend": len(curves) > 1},
    }


def _hollow(curves: list[tuple[Slice, pd.DataFrame]]) -> str:
    return " Hollow: stopped early." if any(found.estimated for found, _ in curves) else ""


def _metric(curves: list, results: Results, axis: str, name: str) -> dict:
    title, about = CHARTED[name]
    data = [_curve(found, trials, name, axis, i) for i, (found, trials) in enumerate(curves)]
    layout = _layout(axis, name, curves[0][0]) | {"showlegend": len(curves) > 1}
    for i, (model, level) in enumerate(_reference_levels(results, name)):
        layout["shapes"].append(_level_line(level))
        layout["annotations"].append(_level_label(model, level, left=i % 2 == 1))
    if METRICS[name].percent:
        highest = max((value for line in data for value in line["y"] if value is not None), default=0)
        layout["yaxis"] |= {"tickformat": ".0%", "range": [0, max(1.08 * highest, 0.1)]}
    return {"id": name, "title": title, "about": about, "wide": False, "data": data, "layout": layout}


def _level_line(level: float) -> dict:
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level}
    return across | {"line": {"width": 1, "dash": "dash"}}


def _level_label(model: str, level: float, left: bool) -> dict:
    """At either end of the line, so that two parents' labels do not meet."""
    place = {"xref": "paper", "x": 0 if left else 1, "xanchor": "left" if left else "right"}
    text = escape(shorten(f"{model}'s own", 28))
    return place | {"text": text, "y": level, "yanchor": "bottom", "showarrow": False}


def _reference_levels(results: Results, name: str) -> list[tuple[str, float]]:
    """The mean of each parent's sound renders: a parent that burns says nothing about healthy."""
    sound = results.references[results.references["verdict"] == "ok"]
    means = sound.groupby("model", sort=False)[name].mean().dropna()
    return [(str(model), float(level)) for model, level in means.items()]


def _curve(found: Slice, trials: pd.DataFrame, column: str, axis: str, number: int) -> dict:
    mean = trials.groupby("at")[column].mean()
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": escape(slice_text(found.settings) or "mean"),
        "x": numbers(mean.index),
        "y": numbers(mean),
        "line": {"color": SLICE_COLOURS[number], "width": 2.5},
        "marker": {
            "size": [9 if at in found.estimated else 6 for at in mean.index],
            "symbol": [HOLLOW if at in found.estimated else "circle" for at in mean.index],
        },
        "hovertemplate": f"{escape(axis)} %{{x}}<br>{column} %{{y:.3g}}<extra></extra>",
    }


def _layout(axis: str, y: str, found: Slice) -> dict:
    return plain_layout(axis, y) | {"shapes": _shades(found), "showlegend": True}


def _shades(found: Slice) -> list[dict]:
    """The window, the interval and the best ratio, behind the curves."""
    shapes = []
    if found.window:
        shapes.append(band(found.window.low.inside, found.window.high.inside, WINDOW_FILL))
    if found.interval:
        shapes.append(band(found.interval.low, found.interval.high, INTERVAL_FILL))
    return [*shapes, best_line(found.ratio)]


def _brackets(found: Slice) -> list[dict]:
    """Window and interval as strokes above the bars, which would hide a shade; the best as a dotted line."""
    stroke = {"type": "line", "y0": 1.04, "y1": 1.04}
    shapes = []
    if found.window:
        ends = {"x0": found.window.low.inside, "x1": found.window.high.inside}
        shapes.append(stroke | ends | {"line": {"color": WINDOW_STROKE, "width": 7}})
    if found.interval:
        ends = {"x0": found.interval.low, "x1": found.interval.high}
        shapes.append(stroke | ends | {"line": {"color": BEST_LINE, "width": 7}})
    best = {"type": "line", "x0": found.ratio, "x1": found.ratio, "y0": 0, "y1": 1.04}
    return [*shapes, best | {"line": {"color": "#ffffff", "width": 1.5, "dash": "dot"}}]
