"""The report's sections of figures, and the parts of a figure: Plotly's traces, shapes and layouts.

Every module of this folder may add figures, with a function from the run to figures that is decorated with
`adds_figures`. In a section they stand in the order of their modules' names.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.words import parameter_text, shorten
from gridsearch.report import figures as folder
from gridsearch.results.analysis.analyse import block_ends
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import MANY_CURVES, curve_parameter_of, distinct_trials, split_slices
from gridsearch.results.results import Results

# Section -> its title and the sentence below it.
SECTIONS = {
    "along": ("Along the {axis}", ""),
    "certainty": (
        "How sure is it?",
        "The best {axis} depends on the prompts. This is what other prompts of the same kind could say.",
    ),
    "values": ("All values together", ""),
    "influence": ("What matters", ""),
}
WINDOW_FILL, INTERVAL_FILL, BEST_LINE = "rgba(0,158,115,0.14)", "rgba(0,114,178,0.24)", "#0072b2"
HOLLOW = "circle-open"  # the marker of stopped trials, whose values are estimates


@dataclass(frozen=True)
class Shown:
    """The run that the figures show."""

    results: Results
    answer: Answer
    best: Slice  # of the answer
    axis: str  # the main parameter's name
    curves: Sequence[tuple[Slice, pd.DataFrame]]  # the best slices along it; empty where no curve makes sense


@dataclass(frozen=True)
class Figure:
    """A figure in Plotly's JSON, and how the page shows it.

    Plotly reads a little HTML, so texts from outside must be escaped. Colours that depend on the page's light
    or dark are left to the page's script.
    """

    section: str  # the part of the page, one of SECTIONS
    id: str  # of its element, unique on the page
    title: str
    about: str
    data: list[dict]
    layout: dict
    wide: bool = False
    small: bool = False
    height: int | None = None  # px; None for the usual one
    along: bool = False  # whether it runs along the main parameter: a click in it opens that place
    prompts: list[dict] = field(default_factory=list)  # each prompt's own, see `along_ratio.prompt_lines`


FIGURES: list[Callable[[Shown], Iterator[Figure]]] = []  # of all modules that have been imported


def adds_figures(function: Callable[[Shown], Iterator[Figure]]) -> Callable[[Shown], Iterator[Figure]]:
    """Add a function's figures to the report."""
    FIGURES.append(function)
    return function


def figures(results: Results, answer: Answer) -> list[Figure]:
    """Return all figures of the run; none where there is no curve yet, or no number was searched."""
    main = curve_parameter_of(results)
    if main is None or answer.best is None:
        return []
    shown = Shown(results, answer, answer.best, parameter_text(main), _curves(results, answer))
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        importlib.import_module(module.name)
    sources = sorted(FIGURES, key=lambda function: function.__module__)
    return [figure for function in sources for figure in function(shown)]


def _curves(results: Results, answer: Answer) -> Sequence[tuple[Slice, pd.DataFrame]]:
    """Return the best slices, each with its trials; none where no two of them differ along the parameter."""
    if answer.projection:
        return []
    slices = split_slices(results, distinct_trials(results))
    trials = {tuple(settings.items()): rows for settings, rows in slices}
    curves = [(found, trials[tuple(found.settings.items())]) for found in answer.slices[:MANY_CURVES]]
    return curves if max(rows["at"].nunique() for _, rows in curves) > 1 else []


def sections(results: Results, answer: Answer) -> list[dict]:
    """Return the sections that have figures: `{id, title, about, along, early, figures}`."""
    found = figures(results, answer)
    axis, ends = parameter_text(curve_parameter_of(results) or "trial"), block_ends(results, answer)
    counts = f"Of the ratios of blocks, {ends}." if ends else ""
    return [
        {
            "id": section,
            "title": title.format(axis=axis),
            "about": about.format(axis=axis) or counts * (section != "along"),
            "along": section == "along",
            "early": section in ("along", "values"),  # before the images
            "figures": inside,
        }
        for section, (title, about) in SECTIONS.items()
        if (inside := [figure for figure in found if figure.section == section])
    ]


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
