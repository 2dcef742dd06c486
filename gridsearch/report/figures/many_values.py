"""Figures of a search over many values at once: the winner, its rivals, and the search so far."""

from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from gridsearch.base.words import is_number, parameter_labels, value_text
from gridsearch.checkpoint.families import KNOWN_FAMILIES
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.report.figures.landscape import SURVIVED
from gridsearch.results.analysis.trials import distinct_trials, is_partial, numeric_parameters, ranked
from gridsearch.results.results import Results

MOST_LINES = 60  # trials; more lines cannot be told apart
HEALTHY, FAILED = SURVIVED[-1][1], SURVIVED[0][1]


@adds_figures
def many_values(shown: Shown) -> Iterator[Figure]:
    """Yield the figures, where so many values were searched that there is no curve along one."""
    if not shown.answer.projection:
        return
    trials = distinct_trials(shown.results).dropna(subset="defect")
    if winner := _block_ratios(shown):
        yield _bars(winner)
    names = [name for name in numeric_parameters(shown.results) if trials[name].nunique() > 1]
    if len(names) > 1:
        yield _parallel(shown, ranked(trials), names)
    yield _history(trials.sort_values("trial"))


def _blocks(results: Results) -> Sequence[str]:
    """Return the names of the model's blocks, in the order of the UNet."""
    return KNOWN_FAMILIES[results.family].blocks


def _block_ratios(shown: Shown) -> dict[str, float]:
    """Return the recommended ratio of each block or part; of some blocks only, the searched ones."""
    blocks = _blocks(shown.results)
    if shown.answer.weights:
        return dict(zip(blocks, map(float, shown.answer.weights.split(",")), strict=True))
    labels = parameter_labels(shown.results.parameters)
    values = {labels[name]: value for name, value in shown.answer.parameters.items() if ".ratio." in name}
    return {label: float(value) for label, value in values.items() if is_number(value)}


def _bars(ratios: dict[str, float]) -> Figure:
    values = list(ratios.values())
    bars = {
        "type": "bar",
        "x": [escape(name) for name in ratios],
        "y": draw.numbers(values),
        "text": [value_text(round(value, 2)) for value in values],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": draw.BEST_LINE, "line": {"width": 0}},
        "hovertemplate": draw.hover("%{x}: ratio %{y:.4g}"),
    }
    layout = draw.plain_layout("", "ratio")
    layout["xaxis"] |= {"type": "category"}
    layout["yaxis"] |= {"range": [min(0.0, *values), max(1.0, *values) * 1.08]}
    about = "The recommended ratio of each block, from the input of the UNet to its output."
    return Figure("values", "winner", "The winner, block by block", about, [bars], layout, wide=True)


def _parallel(shown: Shown, trials: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Return a line for each of the best trials, from value to value, each along its own range."""
    blocks, labels = _blocks(shown.results), parameter_labels(shown.results.parameters)
    places = {block: i for i, block in enumerate(blocks)}
    names = sorted(names, key=lambda name: places.get(labels[name], len(places)))
    drawn = trials.head(MOST_LINES)
    low, high = trials[names].astype(float).min(), trials[names].astype(float).max()
    alike = all(label in places for label in map(labels.get, names))
    best = trials["trial"] == shown.best.trial
    sound = drawn["survived"] >= shown.answer.share
    parts = (
        ("most images failed", FAILED, drawn[~sound]),
        ("most images are healthy", HEALTHY, drawn[sound]),
        ("recommended", draw.BEST_LINE, trials[best]),
    )
    data = []
    for label, colour, rows in parts:
        x, y, said = [], [], []
        for _, row in rows.iterrows():
            for name in names:
                value = float(row[name])
                x.append(escape(labels[name]))
                y.append(value if alike else (value - low[name]) / (high[name] - low[name]))
                said.append(f"trial {int(row['trial'])}, {escape(labels[name])} {value_text(value)}")
            x, y, said = [*x, x[-1]], [*y, float("nan")], [*said, ""]  # no line to the next trial
        strong = colour == draw.BEST_LINE
        line = {"color": colour, "width": 3 if strong else 1}
        trace = draw.scatter(
            [], y, "lines+markers", name=label, text=said, line=line, opacity=1 if strong else 0.4
        )
        trace |= {"x": x, "marker": {"size": 6 if strong else 4}, "hovertemplate": draw.hover("%{text}")}
        data += [trace] if x else []
    layout = draw.plain_layout("", "ratio" if alike else "lowest to highest value tried", showlegend=True)
    layout["xaxis"] |= {"type": "category"}
    count = f"The best {len(drawn)} of {len(trials)} trials" if len(drawn) < len(trials) else "All trials"
    about = f"{count}, each a line through its values. Where the green lines meet, the value matters."
    return Figure("values", "parallel", "The trials side by side", about, data, layout, wide=True)


def _history(trials: pd.DataFrame) -> Figure:
    """Return the trials in their order, and the best so far: most images healthy, then the least defect."""
    whole = trials[~is_partial(trials)]
    places = {trial: place for place, trial in enumerate(ranked(whole)["trial"])}
    so_far = whole["trial"].map(places).cummin()
    leaders = ranked(whole)["defect"].to_numpy()[so_far]
    line = {"color": draw.BEST_LINE, "shape": "hv"}
    best = draw.scatter(whole["trial"], leaders, "lines", line=line, hoverinfo="skip")
    marker = {"size": 7, "color": trials["survived"].tolist(), "cmin": 0, "cmax": 1, "colorscale": SURVIVED}
    hover = draw.hover("trial %{x}", "defect %{y:.3g}", "%{marker.color:.0%} healthy")
    dots = draw.scatter(trials["trial"], trials["defect"], marker=marker, hovertemplate=hover)
    layout = draw.plain_layout("trial", "mean defect")
    about = (
        "Each dot is a trial: green is healthy, orange failed. The line is the defect of the best so far, "
        "which has the most healthy images, and of those the lowest defect."
    )
    return Figure("values", "history", "The search so far", about, [best, dots], layout, wide=True)
