"""The figures of many parameters: which of them matter, and the loss along each."""

from html import escape

import pandas as pd

from gridsearch.base.words import parameter_text, value_text
from gridsearch.report.figures.style import BEST_LINE, plain_layout
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.importance import by_chance
from gridsearch.results.analysis.trials import distinct_trials, is_partial, numeric_parameters, without_copies
from gridsearch.results.results import Results
from gridsearch.score.loss import image_losses

SCALE = [[0, "#d55e00"], [0.5, "#e0c36a"], [1, "#009e73"]]  # of survived: none, half, all
BAR, ROOM = 26, 80  # px: a parameter's bar, and the axis below
COMPACT = 3  # more slices than this are drawn small


def landscape_figures(results: Results, answer: Answer) -> list[dict]:
    """Importances, and a slice for each number beside the main one; of a projection for the main one too."""
    trials = distinct_trials(results)
    found = [_importances(answer, len(without_copies(trials, results.images)))] if answer.importances else []
    rows = results.images.assign(loss=image_losses(results.images["verdict"], results.images["defect"]))
    trials = trials.join(rows.groupby("trial")["loss"].mean(), on="trial").dropna(subset="loss")
    names = [
        name
        for name in numeric_parameters(results)
        if (name != answer.main or answer.projection) and trials[name].nunique() > 1
    ]
    order = [name for name, _ in answer.importances]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    small = len(names) > COMPACT
    return found + [_slice(name, trials, answer, i, small) for i, name in enumerate(names)]


def _importances(answer: Answer, trials: int) -> dict:
    shares = answer.importances[::-1]  # the largest on top
    layout = plain_layout("share of what differs between trials", "")
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    together = max(0.0, 1 - sum(share for _, share in shares))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [share for _, share in shares],
        "y": [escape(parameter_text(name)) for name, _ in shares],
        "marker": {"color": BEST_LINE, "line": {"width": 0}},
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
    }
    return {
        "id": "importances",
        "title": "Which values matter",
        "about": "How much of the difference between trials goes with each value alone. "
        f"The other {together:.0%} go with several at once, or are noise. Of {trials} trials, shares below "
        f"{by_chance(trials):.0%} may be chance.",
        "wide": True,
        "along": False,
        "height": ROOM + BAR * len(shares),
        "data": [bars],
        "layout": layout,
    }


def _slice(name: str, trials: pd.DataFrame, answer: Answer, number: int, small: bool) -> dict:
    """The mean loss against one parameter; the others are wherever they were."""
    known = trials.dropna(subset=name)
    best = known[known["trial"] == answer.best.trial]
    axis = parameter_text(name)
    where = f"{escape(axis)} %{{x}}<br>loss %{{y:.3g}}"
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": known[name].astype(float).tolist(),
        "y": known["loss"].tolist(),
        "customdata": [[int(row.trial), float(row.survived)] for row in known.itertuples()],
        "marker": {
            "size": 6 if small else 8,
            "color": known["survived"].tolist(),
            "cmin": 0,
            "cmax": 1,
            "colorscale": SCALE,
            "symbol": ["circle-open" if partial else "circle" for partial in is_partial(known)],
        },
        "hovertemplate": f"trial %{{customdata[0]}}<br>{where}<br>%{{customdata[1]:.0%}} sound"
        "<extra></extra>",
    }
    marked = {
        "type": "scatter",
        "mode": "markers",
        "x": best[name].astype(float).tolist(),
        "y": best["loss"].tolist(),
        "marker": {
            "size": 15 if small else 18,
            "symbol": "circle-open",
            "color": BEST_LINE,
            "line": {"width": 3},
        },
        "hoverinfo": "skip",
    }
    layout = plain_layout("" if small else axis, "" if small else "mean loss")
    at = f"Best at {value_text(best[name].iloc[0])}." if len(best) else ""
    about = at if small else f"Each dot is a trial: green is sound, orange broken, hollow stopped early. {at}"
    return {
        "id": f"slice-{number}",
        "title": axis if small else f"Along {axis}",
        "about": about,
        "wide": False,
        "small": small,
        "along": False,
        "data": [dots, marked],
        "layout": layout,
    }
