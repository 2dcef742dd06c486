"""Each prompt's own line in the figures along the ratio: there to be switched on, for there may be many."""

from html import escape

import numpy as np
import pandas as pd

from gridsearch.base.words import one_line, shorten
from gridsearch.report.figures.style import numbers
from gridsearch.results.analysis.answer import Slice
from gridsearch.results.results import Results

NAMED = 60  # letters of a prompt where a line is named


def prompt_names(results: Results) -> list[dict]:
    """Each prompt that was drawn, in the order of its lines: `{id, text}`, the text as Plotly reads it."""
    found = results.images.drop_duplicates("prompt_id")
    return [
        {"id": str(row.prompt_id), "text": escape(shorten(one_line(row.prompt), NAMED))}
        for row in found.itertuples()
    ]


def prompt_lines(curves: list[tuple[Slice, pd.DataFrame]], results: Results, column: str) -> list[dict]:
    """One entry per curve: `{x, y}`, the places and for each prompt its mean of `column` at each of them.

    Args:
        column: of the images, or "survived", the share that is sound.
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
    """Four figures are more than a line shows; there may be thousands."""
    return float(f"{value:.4g}")
