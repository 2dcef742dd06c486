"""The parts of a figure: the run that it shows, Plotly's traces, shapes and layouts, and how it is placed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.words import shorten
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.results import Results

WINDOW_FILL, INTERVAL_FILL, BEST_LINE = "rgba(0,158,115,0.14)", "rgba(0,114,178,0.24)", "#0072b2"
HOLLOW = "circle-open"  # the marker of stopped trials, whose values are estimates
Curves = Sequence[tuple[Slice, pd.DataFrame]]


@dataclass(frozen=True)
class Shown:
    """The run that the figures show.

    Attributes:
        best: the best slice of the answer.
        axis: the main parameter's name.
        curves: the best slices along it, each with its trials; empty where no curve makes sense.
    """

    results: Results
    answer: Answer
    best: Slice
    axis: str
    curves: Curves


@dataclass(frozen=True)
class Figure:
    """A figure in Plotly's JSON, and how the page shows it.

    Attributes:
        section: the part of the page, one of `sections.SECTIONS`.
        id: of its element, unique on the page.
        data, layout: Plotly's. It reads a little HTML, so texts from outside must be escaped. Colours that
            depend on the page's light or dark are left to the page's script.
        height: px; None for the usual one.
        along: whether it runs along the main parameter, so that a click in it opens that place.
        prompts: the prompts' own lines, see `prompt_lines.prompt_lines`.
    """

    section: str
    id: str
    title: str
    about: str
    data: list[dict]
    layout: dict
    wide: bool = False
    small: bool = False
    height: int | None = None
    along: bool = False
    prompts: list[dict] = field(default_factory=list)


FIGURES: list[Callable[[Shown], Iterator[Figure]]] = []  # of all modules that have been imported


def adds_figures(function: Callable[[Shown], Iterator[Figure]]) -> Callable[[Shown], Iterator[Figure]]:
    """Add a function's figures to the report."""
    FIGURES.append(function)
    return function


# -- traces


def scatter(x: Iterable[Any], y: Iterable[Any], mode: str = "markers", **rest: object) -> dict:
    """Return a trace of points or lines."""
    return {"type": "scatter", "mode": mode, "x": numbers(x), "y": numbers(y), **rest}


def bars(x: Iterable[float], y: Iterable[float], colour: str, **rest: object) -> dict:
    """Return a trace of bars, each as wide as its nearest neighbour allows, at most a tenth of the range."""
    places = np.asarray(x, dtype=float)
    gaps = np.diff(places)
    nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    widths = (0.88 * np.minimum(nearest, np.ptp(places) / 10)).tolist() if len(gaps) else [0.05]
    marker = {"color": colour, "line": {"width": 0}}
    return {"type": "bar", "x": numbers(places), "y": numbers(y), "width": widths, "marker": marker, **rest}


def hover(*lines: str) -> str:
    """Return the template of a tooltip."""
    return "<br>".join(lines) + "<extra></extra>"


def numbers(values: Iterable[float]) -> list[float | None]:
    """Return numbers for Plotly, which leaves a gap at null and fails at NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def parents(results: Results, *columns: str) -> list[tuple[str, pd.Series]]:
    """Return each parent's label and its means over its sound renders; broken ones do not count."""
    sound = results.references[results.references["verdict"] == "ok"].dropna(subset=list(columns))
    means = sound.groupby("model", sort=False)[list(columns)].mean()
    return [(escape(shorten(f"{model}'s own", 28)), row) for model, row in means.iterrows()]


# -- layouts


def plain_layout(x: str, y: str, shapes: Sequence[dict] = (), **rest: object) -> dict:
    """Return axes with their titles, and shapes behind the data."""
    return {
        "xaxis": {"title": {"text": escape(x)}},
        "yaxis": {"title": {"text": escape(y)}, "rangemode": "tozero"},
        "shapes": list(shapes),
        "annotations": [],
        "showlegend": False,
        **rest,
    }


def band(low: float, high: float, colour: str) -> dict:
    """Return a shade over the whole height, behind the data."""
    shape = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    return shape | {"x0": low, "x1": high, "fillcolor": colour}


def best_line(at: float | None) -> dict:
    """Return a dotted line over the whole height, at the recommended place."""
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": at, "x1": at}
    return line | {"line": {"color": BEST_LINE, "width": 1.5, "dash": "dot"}}


def add_level(layout: dict, level: float, text: str, left: bool = False) -> None:
    """Add a dashed line at a value of y, with its label at one end."""
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level}
    layout["shapes"].append(across | {"line": {"width": 1, "dash": "dash"}})
    place = {"xref": "paper", "x": 0 if left else 1, "xanchor": "left" if left else "right"}
    layout["annotations"].append(place | {"text": text, "y": level, "yanchor": "bottom", "showarrow": False})
