"""The map of a search over two numbers: what survives at each pair, or dots where few pairs are."""

from collections.abc import Iterator
from html import escape

import numpy as np
import pandas as pd

from gridsearch.base.words import parameter_text, value_text
from gridsearch.report.crossed import two_numbers, usual_axes
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.report.figures.landscape import SURVIVED
from gridsearch.results.analysis.trials import distinct_trials


@adds_figures
def heat_map(shown: Shown) -> Iterator[Figure]:
    """Yield the map where two numbers and nothing else were searched."""
    results, axes = shown.results, two_numbers(shown.results)
    if axes is None or axes.down is None:
        return
    across, down = axes.across, axes.down
    trials, labels = distinct_trials(results), (parameter_text(across), parameter_text(down))
    best = results.trials.loc[results.trials["trial"] == shown.best.trial, [across, down]]
    if usual_axes(results):
        yield _map(trials.pivot_table(index=down, columns=across, values="survived"), *labels, best)
    else:
        yield _dots(trials.dropna(subset="defect"), across, down, labels, best)


def _dots(
    trials: pd.DataFrame, across: str, down: str, labels: tuple[str, str], best: pd.DataFrame
) -> Figure:
    """Return the trials at their pairs of values, each in the colour of its mean defect."""
    said = [f"{escape(labels[0])} %{{x}}", f"{escape(labels[1])} %{{y}}", "%{text}"]
    dots = draw.scatter(
        trials[across],
        trials[down],
        text=[
            f"trial {int(row.trial)}<br>{row.survived:.0%} healthy, defect {row.defect:.3g}"
            for row in trials.itertuples()
        ],
        marker={
            "size": 13,
            "color": trials["defect"].tolist(),
            "colorscale": [[0, SURVIVED[2][1]], [0.5, SURVIVED[1][1]], [1, SURVIVED[0][1]]],
            "colorbar": {"title": {"text": "defect"}, "thickness": 12, "outlinewidth": 0},
        },
        hovertemplate=draw.hover(*said),
    )
    ring = {"size": 22, "symbol": draw.HOLLOW, "color": draw.BEST_LINE, "line": {"width": 3}}
    marked = draw.scatter(best[across], best[down], marker=ring, hoverinfo="skip", cliponaxis=False)
    layout = draw.plain_layout(*labels)
    layout["yaxis"] |= {"rangemode": "normal"}
    about = "Each dot is a trial at its values: the greener, the lower its mean defect. The ring is the best."
    return Figure("influence", "pairs", _title(*labels), about, [dots, marked], layout, wide=True)


def _title(across: str, down: str) -> str:
    return f"{across[:1].upper()}{across[1:]} and {down}"


def _map(table: pd.DataFrame, across: str, down: str, best: pd.DataFrame) -> Figure:
    said = draw.hover(f"{escape(across)} %{{x}}", f"{escape(down)} %{{y}}", "%{z:.0%} healthy")
    cells = {
        "type": "heatmap",
        "x": [value_text(x) for x in table.columns],
        "y": [f"{y:g}" for y in table.index],
        "z": [[None if np.isnan(z) else float(z) for z in row] for row in table.to_numpy()],
        "zmin": 0,
        "zmax": 1,
        "colorscale": SURVIVED,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": said,
        "colorbar": {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
    }
    ring = {"size": 18, "symbol": draw.HOLLOW, "color": draw.BEST_LINE, "line": {"width": 3}}
    marked = {
        "type": "scatter",
        "mode": "markers",
        "x": [value_text(x) for x in best.iloc[:, 0]],
        "y": [f"{y:g}" for y in best.iloc[:, 1]],
        "marker": ring,
        "hoverinfo": "skip",
    }
    layout = draw.plain_layout(across, down)
    for axis in ("xaxis", "yaxis"):
        layout[axis] = layout.get(axis, {}) | {"type": "category"}
    about = "The share of healthy images at each pair of values. The ring is the recommended one."
    return Figure("influence", "pairs", _title(across, down), about, [cells, marked], layout, wide=True)
