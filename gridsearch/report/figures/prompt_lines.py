"""The prompts' own lines in the figures along the ratio, which the page can switch on."""

from html import escape

import numpy as np
import pandas as pd

from gridsearch.base.words import one_line, shorten
from gridsearch.report.figures.figure import Curves, numbers
from gridsearch.results.results import Results

NAMED = 60  # letters of a prompt in a line's name


def prompt_names(results: Results) -> list[dict]:
    """Return each rendered prompt in the order of its lines: `{id, text}`, the text escaped for Plotly."""
    found = results.images.drop_duplicates("prompt_id")
    return [
        {"id": str(row.prompt_id), "text": escape(shorten(one_line(row.prompt), NAMED))}
        for row in found.itertuples()
    ]


def prompt_lines(curves: Curves, results: Results, column: str) -> list[dict]:
    """Return for each curve `{x, y}`: the places, and each prompt's mean of a column at them.

    Args:
        column: of the images, or "survived", the share of sound ones.
    """
    order = results.images["prompt_id"].drop_duplicates()
    images = results.images.assign(survived=(results.images["verdict"] == "ok").astype(float))
    return [_lines(images.merge(trials[["trial", "at"]], on="trial"), column, order) for _, trials in curves]


def _lines(images: pd.DataFrame, column: str, order: pd.Series) -> dict:
    means = images.pivot_table(index="prompt_id", columns="at", values=column, aggfunc="mean", dropna=False)
    places = np.sort(images["at"].unique())
    means = means.reindex(index=order, columns=places)
    return {"x": numbers(places), "y": [numbers(map(_short, row)) for row in means.to_numpy(dtype=float)]}


def _short(value: float) -> float:
    """Return the value with four digits, more than a line shows; there may be thousands of them."""
    return float(f"{value:.4g}")
