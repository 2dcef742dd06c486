"""The heat map of a search over two numbers: how much survives where both are known."""

from collections.abc import Iterator
from html import escape

import numpy as np
import pandas as pd

from gridsearch.base.words import parameter_text, value_text
from gridsearch.report.crossed import usual_axes
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.report.figures.landscape import SURVIVED
from gridsearch.results.analysis.trials import distinct_trials


@adds_figures
def heat_map(shown: Shown) -> Iterator[Figure]:
    """Yield the map where two numbers and nothing else were searched, on a grid of both."""
    results, axes = shown.results, usual_axes(shown.results)
    if axes is None or axes.down is None:
        return
    across, down = axes.across, axes.down
    table = distinct_trials(results).pivot_table(index=down, columns=across, values="survived")
    best = results.trials.loc[results.trials["trial"] == shown.best.trial]
    yield _map(table, parameter_text(across), parameter_text(down), best[[across, down]])


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
    title = f"{across[:1].upper()}{across[1:]} and {down}"
    return Figure("influence", "pairs", title, about, [cells, marked], layout, wide=True)
