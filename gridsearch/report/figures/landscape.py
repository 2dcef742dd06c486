"""Figures of trials as dots: which values matter, the defect along each, and blur against noise."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import pandas as pd

from gridsearch.base.words import parameter_labels, percent_text, slice_text, value_text
from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.trials import (
    distinct_trials,
    is_partial,
    least_told,
    numeric_parameters,
)
from gridsearch.results.results import Results

SURVIVED = [[0, "#d55e00"], [0.5, "#e0c36a"], [1, "#009e73"]]  # colours of none, half, all
BAR, AXIS = 26, 80  # px: the height of a parameter's bar, and of the axis below
PERHAPS = "#a9c9e0"  # of a bar that may be chance
COMPACT = 3  # more figures than this are small
ABOUT = (
    "Blur to the right, grain upwards{line}; more solid dots have more healthy images. Little of "
    "both is not an answer in itself: a blank image has no edges and so no place here{absent}."
)
FRONT = " Ringed: the front, the surviving trials that no other beats on both."
RING = "#d55e00"
WHERE = "blur %{x:.3g} px, noise %{y:.3g} levels"


@adds_figures
def landscape_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the importances, and a figure for each number beside the main one; in a projection for it too."""
    results, answer = shown.results, shown.answer
    if answer.importances:
        yield _importances(shown, parameter_labels(results.parameters))
    trials = distinct_trials(results).dropna(subset="defect")
    beside = [name for name in numeric_parameters(results) if name != answer.main or answer.projection]
    names = [name for name in beside if trials[name].nunique() > 1]
    order = [name for name, _ in answer.importances]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    labels, small = parameter_labels(results.parameters), len(names) > COMPACT
    yield from (_defects(name, labels[name], trials, shown.best, i, small) for i, name in enumerate(names))


def _importances(shown: Shown, labels: Mapping[str, str]) -> Figure:
    shares = shown.answer.importances[::-1]  # the largest on top
    least = least_told(shown.results, shown.answer)
    colours = [draw.BEST_LINE if share >= least else PERHAPS for _, share in shares]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": [escape(labels[name]) for name, _ in shares],
        "marker": {"color": colours, "line": {"width": 0}},
        "hovertemplate": draw.hover("%{y}: %{x:.0%}"),
    }
    layout = draw.plain_layout("share of the difference between trials", "")
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    about = f"How much of the difference between trials each value explains by itself. {_rest(shares, least)}"
    height, title = AXIS + BAR * len(shares), "Which values matter"
    return Figure("influence", "importances", title, about, [bars], layout, wide=True, height=height)


def _rest(shares: Sequence[tuple[str, float]], least: float) -> str:
    """Return what the shares leave, and which of them may be chance; none says anything if all may be."""
    if max(share for _, share in shares) < least:
        return (
            f"This chart does not say which values matter: so few trials give shares up to {least:.0%} by "
            "chance, and all are below that."
        )
    together = round(1 - sum(share for _, share in shares), 9)
    rest = f"The remaining {percent_text(together)} comes from several values at once, or from noise. "
    return f"{rest if together > 0 else ''}Shares below {least:.0%} may be chance: these are pale."


def _defects(
    name: str, axis: str, trials: pd.DataFrame, best_slice: Slice, number: int, small: bool
) -> Figure:
    """Return the mean defect of each trial against one parameter, whatever the others are."""
    known = trials.dropna(subset=name)
    best = known[known["trial"] == best_slice.trial]
    said = (
        "trial %{customdata[0]}",
        f"{escape(axis)} %{{x}}",
        "defect %{y:.3g}",
        "%{customdata[1]:.0%} healthy",
    )
    dots = draw.scatter(
        known[name],
        known["defect"],
        customdata=[[int(row.trial), float(row.survived)] for row in known.itertuples()],
        marker={
            "size": 6 if small else 8,
            "color": known["survived"].tolist(),
            "cmin": 0,
            "cmax": 1,
            "colorscale": SURVIVED,
            "symbol": [draw.HOLLOW if partial else "circle" for partial in is_partial(known)],
        },
        hovertemplate=draw.hover(*said),
    )
    ring = {"size": 15 if small else 18, "symbol": draw.HOLLOW, "color": draw.BEST_LINE, "line": {"width": 3}}
    marked = draw.scatter(best[name], best["defect"], marker=ring, hoverinfo="skip", cliponaxis=False)
    dots_are = "Each dot is a trial: green is healthy, orange failed, hollow stopped early."
    about = "" if small else f"{dots_are} A lower defect is better: 0 is healthy. "
    if len(best):  # the dots beside it show how little more digits say
        value = best[name].iloc[0]
        about += f"The best trial has {f'{value:.2f}' if abs(value) < 1 else value_text(value)}."
    layout = draw.plain_layout("" if small else axis, "" if small else "mean defect")
    title = axis if small else f"Along {axis}"
    return Figure("influence", f"slice-{number}", title, about, [dots, marked], layout, small=small)


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
