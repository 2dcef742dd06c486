"""Figures of many parameters: which of them matter, and the loss along each."""

from collections.abc import Iterator
from html import escape

import pandas as pd

from gridsearch.base.words import parameter_text, value_text
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.importance import by_chance
from gridsearch.results.analysis.trials import distinct_trials, is_partial, numeric_parameters, without_copies
from gridsearch.score.score import image_losses

SURVIVED = [[0, "#d55e00"], [0.5, "#e0c36a"], [1, "#009e73"]]  # colours of none, half, all
BAR, AXIS = 26, 80  # px: the height of a parameter's bar, and of the axis below
COMPACT = 3  # more figures than this are small
LOSS_AND_HEALTH = ("loss %{y:.3g}", "%{customdata[1]:.0%} healthy")


@adds_figures
def landscape_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the importances, and a figure for each number beside the main one; in a projection for it too."""
    results, answer = shown.results, shown.answer
    trials = distinct_trials(results)
    if answer.importances:
        yield _importances(answer, len(without_copies(trials, results.images)))
    images = results.images.assign(loss=image_losses(results.images["verdict"], results.images["defect"]))
    trials = trials.join(images.groupby("trial")["loss"].mean(), on="trial").dropna(subset="loss")
    names = [
        name
        for name in numeric_parameters(results)
        if (name != answer.main or answer.projection) and trials[name].nunique() > 1
    ]
    order = [name for name, _ in answer.importances]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    yield from (_losses(name, trials, shown.best, i, len(names) > COMPACT) for i, name in enumerate(names))


def _importances(answer: Answer, trials: int) -> Figure:
    shares = answer.importances[::-1]  # the largest on top
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": [escape(parameter_text(name)) for name, _ in shares],
        "marker": {"color": draw.BEST_LINE, "line": {"width": 0}},
        "hovertemplate": draw.hover("%{y}: %{x:.0%}"),
    }
    layout = draw.plain_layout("share of the difference between trials", "")
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    together = max(0.0, 1 - sum(share for _, share in shares))
    about = (
        "How much of the difference between trials each value explains by itself. The remaining "
        f"{together:.0%} come from several values at once, or from noise. With {trials} trials, shares below "
        f"{by_chance(trials):.0%} may be chance."
    )
    height, title = AXIS + BAR * len(shares), "Which values matter"
    return Figure("influence", "importances", title, about, [bars], layout, wide=True, height=height)


def _losses(name: str, trials: pd.DataFrame, best_slice: Slice, number: int, small: bool) -> Figure:
    """Return the mean loss of each trial against one parameter, whatever the others are."""
    known = trials.dropna(subset=name)
    best = known[known["trial"] == best_slice.trial]
    axis = parameter_text(name)
    dots = draw.scatter(
        known[name],
        known["loss"],
        customdata=[[int(row.trial), float(row.survived)] for row in known.itertuples()],
        marker={
            "size": 6 if small else 8,
            "color": known["survived"].tolist(),
            "cmin": 0,
            "cmax": 1,
            "colorscale": SURVIVED,
            "symbol": [draw.HOLLOW if partial else "circle" for partial in is_partial(known)],
        },
        hovertemplate=draw.hover("trial %{customdata[0]}", f"{escape(axis)} %{{x}}", *LOSS_AND_HEALTH),
    )
    ring = {"size": 15 if small else 18, "symbol": draw.HOLLOW, "color": draw.BEST_LINE, "line": {"width": 3}}
    marked = draw.scatter(best[name], best["loss"], marker=ring, hoverinfo="skip")
    about = "" if small else "Each dot is a trial: green is healthy, orange failed, hollow stopped early. "
    about += f"Best at {value_text(best[name].iloc[0])}." if len(best) else ""
    layout = draw.plain_layout("" if small else axis, "" if small else "mean loss")
    title = axis if small else f"Along {axis}"
    return Figure("influence", f"slice-{number}", title, about, [dots, marked], layout, small=small)
