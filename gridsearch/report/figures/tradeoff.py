"""The figure of blur against noise, ratio by ratio: how much of one is paid for the other."""

from collections.abc import Iterator
from html import escape

import pandas as pd

from gridsearch.base.words import slice_text, value_text
from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import distinct_trials
from gridsearch.results.results import Results

ABOUT = (
    "Blur to the right, grain upwards{line}; more solid dots have more healthy images. Little of "
    "both is not an answer in itself: a blank image has no edges and so no place here{absent}."
)
FRONT = " Ringed: the front, the surviving trials that no other beats on both."
RING = "#d55e00"
WHERE = "blur %{x:.3g} px, noise %{y:.3g} levels"


@adds_figures
def tradeoff_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the figure: a line per slice through its ratios' mean blur and noise, and the parents' renders.

    Without curves, every trial is a dot. Where blur and noise are the goals, their front is marked.
    """
    if not shown.curves and not shown.answer.projection:
        return
    data = [_line(shown.axis, i, *curve) for i, curve in enumerate(shown.curves)] or [_cloud(shown.results)]
    data += [_front(shown.results, shown.answer)] if shown.answer.front else []
    diamond = {"size": 13, "symbol": "diamond-open", "line": {"width": 2}}
    for label, own in draw.parents(shown.results, "blur", "noise"):
        own_dot = draw.scatter([own["blur"]], [own["noise"]], name=label, marker=diamond)
        data.append(own_dot | {"hovertemplate": draw.hover(WHERE)})
    absent = sorted({at for _, trials in shown.curves for at in _means(trials).query("blur.isna()").index})
    named = ", ".join(map(value_text, absent[:6])) + (", ..." if len(absent) > 6 else "")
    line = f"; the line follows the {shown.axis}" if shown.curves else ""
    about = ABOUT.format(line=line, absent=f" ({named})" if absent else "")
    about += FRONT if shown.answer.front else ""
    layout = draw.plain_layout("blur, px", "noise, levels", showlegend=True)
    section, along = ("along", True) if shown.curves else ("influence", False)
    yield Figure(section, "tradeoff", "Blur against noise", about, data, layout, wide=True, along=along)


def _means(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.groupby("at")[["blur", "noise", "survived"]].mean()


def _solid(survived: pd.Series) -> list[float]:
    return [0.2 + 0.8 * share for share in survived]


def _line(axis: str, number: int, found: Slice, trials: pd.DataFrame) -> dict:
    means = _means(trials).dropna(subset=["blur", "noise"])
    at, colour = [float(value) for value in means.index], SLICE_COLOURS[number]
    return draw.scatter(
        means["blur"],
        means["noise"],
        "lines+markers+text",
        name=escape(slice_text(found.settings) or "mean of a ratio's images"),
        text=[value_text(value) if value == found.ratio else "" for value in at],
        textposition="top center",
        customdata=at,
        line={"color": colour, "width": 1.5},
        marker={
            "size": [15 if value == found.ratio else 9 for value in at],
            "color": colour,
            "opacity": _solid(means["survived"]),
        },
        hovertemplate=draw.hover(f"{escape(axis)} %{{customdata}}", WHERE),
    )


def _cloud(results: Results) -> dict:
    trials = distinct_trials(results).dropna(subset=["blur", "noise"])
    return draw.scatter(
        trials["blur"],
        trials["noise"],
        name="a trial's images",
        text=[f"trial {int(trial)}" for trial in trials["trial"]],
        marker={"size": 9, "color": SLICE_COLOURS[0], "opacity": _solid(trials["survived"])},
        hovertemplate=draw.hover("%{text}", WHERE),
    )


def _front(results: Results, answer: Answer) -> dict:
    """Return rings around the trials of the front, joined; the knee is named."""
    trials = results.trials.set_index("trial").loc[[point.trial for point in answer.front]]
    return draw.scatter(
        trials["blur"],
        trials["noise"],
        "lines+markers+text",
        name="the front",
        text=["knee" if point.knee else "" for point in answer.front],
        textposition="bottom center",
        line={"color": RING, "width": 1, "dash": "dot"},
        marker={"size": 17, "symbol": draw.HOLLOW, "line": {"width": 2.5, "color": RING}},
        hoverinfo="skip",
    )
