"""Blur against noise, ratio by ratio: what one costs of the other, whatever the defect makes of both."""

from html import escape

import pandas as pd

from gridsearch.base.words import shorten, slice_text, value_text
from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import distinct_trials
from gridsearch.results.results import Results

ABOUT = (
    "Blur to the right, grain upwards{line}, and the fuller a dot, the more images are sound. Low on both is "
    "no answer by itself: a blank image has no edges and so no place here{absent}."
)
RING = "#d55e00"
FRONT = "Ringed: the front, which no other trial that survives beats on both."
WHERE = "blur %{x:.3g} px, noise %{y:.3g} levels<extra></extra>"


def tradeoff(curves: list[tuple[Slice, pd.DataFrame]], results: Results, answer: Answer, axis: str) -> dict:
    """The figure: a line per slice through its ratios' mean blur and noise, and the parents' own renders.

    Where no curves make sense, every trial is a dot. Where blur and noise are the goals, their front is
    drawn.
    """
    data = [_line(found, trials, axis, i) for i, (found, trials) in enumerate(curves)]
    data += [] if curves else [_cloud(results)]
    data += _front(results, answer) if answer.front else []
    data += _parents(results)
    absent = sorted({at for _, trials in curves for at in _means(trials).query("blur.isna()").index})
    named = ", ".join(value_text(at) for at in absent[:6]) + (", ..." if len(absent) > 6 else "")
    about = ABOUT.format(
        line=f"; the line follows the {axis}" if curves else "", absent=f" ({named})" if absent else ""
    )
    about += f" {FRONT}" if answer.front else ""
    layout = {
        "xaxis": {"title": {"text": "blur, px"}},
        "yaxis": {"title": {"text": "noise, levels"}, "rangemode": "tozero"},
        "shapes": [],
        "annotations": [],
        "showlegend": True,
    }
    title = "Blur against noise"
    return {"id": "tradeoff", "title": title, "about": about, "wide": True, "data": data, "layout": layout}


def _cloud(results: Results) -> dict:
    trials = distinct_trials(results).dropna(subset=["blur", "noise"])
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "a trial's images",
        "x": trials["blur"].tolist(),
        "y": trials["noise"].tolist(),
        "text": [f"trial {int(trial)}" for trial in trials["trial"]],
        "marker": {
            "size": 9,
            "color": SLICE_COLOURS[0],
            "opacity": [0.2 + 0.8 * share for share in trials["survived"]],
        },
        "hovertemplate": f"%{{text}}<br>{WHERE}",
    }


def _front(results: Results, answer: Answer) -> list[dict]:
    """Rings around the trials on the front, joined; the knee is named."""
    trials = results.trials.set_index("trial").loc[[point.trial for point in answer.front]]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers+text",
            "name": "the front",
            "x": trials["blur"].tolist(),
            "y": trials["noise"].tolist(),
            "text": ["knee" if point.knee else "" for point in answer.front],
            "textposition": "bottom center",
            "line": {"color": RING, "width": 1, "dash": "dot"},
            "marker": {"size": 17, "symbol": "circle-open", "line": {"width": 2.5, "color": RING}},
            "hoverinfo": "skip",
        }
    ]


def _means(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.groupby("at")[["blur", "noise", "survived"]].mean()


def _line(found: Slice, trials: pd.DataFrame, axis: str, number: int) -> dict:
    means = _means(trials).dropna(subset=["blur", "noise"])
    at = [float(value) for value in means.index]
    colour = SLICE_COLOURS[number]
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": escape(slice_text(found.settings) or "mean of a ratio's images"),
        "x": means["blur"].tolist(),
        "y": means["noise"].tolist(),
        "text": [value_text(value) if value == found.ratio else "" for value in at],
        "textposition": "top center",
        "customdata": at,
        "line": {"color": colour, "width": 1.5},
        "marker": {
            "size": [15 if value == found.ratio else 9 for value in at],
            "color": colour,
            "opacity": [0.2 + 0.8 * share for share in means["survived"]],
        },
        "hovertemplate": f"{escape(axis)} %{{customdata}}<br>{WHERE}",
    }


def _parents(results: Results) -> list[dict]:
    """The mean of each parent's sound renders."""
    sound = results.references[results.references["verdict"] == "ok"].dropna(subset=["blur", "noise"])
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": escape(shorten(f"{model}'s own", 28)),
            "x": [float(own["blur"].mean())],
            "y": [float(own["noise"].mean())],
            "marker": {"size": 13, "symbol": "diamond-open", "line": {"width": 2}},
            "hovertemplate": WHERE,
        }
        for model, own in sound.groupby("model", sort=False)
    ]
