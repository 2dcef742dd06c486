"""What every figure shares: its frame, and numbers as Plotly takes them."""

from collections.abc import Iterable
from html import escape

import numpy as np

WINDOW_FILL, INTERVAL_FILL, BEST_LINE = "rgba(0,158,115,0.14)", "rgba(0,114,178,0.24)", "#0072b2"
WINDOW_STROKE = "rgba(0,158,115,0.45)"


def plain_layout(x: str, y: str) -> dict:
    """Axes with their titles, and nothing drawn behind."""
    return {
        "xaxis": {"title": {"text": escape(x)}},
        "yaxis": {"title": {"text": escape(y)}, "rangemode": "tozero"},
        "shapes": [],
        "annotations": [],
        "showlegend": False,
    }


def band(low: float, high: float, colour: str) -> dict:
    """A shade over the whole height, behind the data."""
    shape = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    return shape | {"x0": low, "x1": high, "fillcolor": colour}


def best_line(at: float) -> dict:
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": at, "x1": at}
    return line | {"line": {"color": BEST_LINE, "width": 1.5, "dash": "dot"}}


def bar_widths(places: np.ndarray) -> list[float]:
    """Each bar as wide as its nearest neighbour allows, and no wider than a tenth of the range."""
    if len(places) < 2:
        return [0.05]
    gaps = np.diff(places)
    nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    return (0.88 * np.minimum(nearest, np.ptp(places) / 10)).tolist()


def numbers(values: Iterable[float]) -> list[float | None]:
    """Plotly leaves a gap at null and chokes on NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]
