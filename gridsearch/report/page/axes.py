"""The data of the page's view along two values, in which a reader chooses what goes across and down."""

from gridsearch.base.words import parameter_labels, setting_value_text
from gridsearch.report.cells import Grid
from gridsearch.report.crossed import in_order
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.identical import comparable
from gridsearch.results.results import Results

MOST_SIDE = 12  # values of each of two numbers whose pairs are few, that still fit a page


def axes(grid: Grid, results: Results, answer: Answer) -> dict | None:
    """Return the data; None where fewer than two values differ, or so many that hardly a cell is filled.

    Keys: names (`{name, values}` of each axis, the values in words), columns (for each of the grid's the
    place of its value on each axis; null for a parent), start (the places at first), best (the column).
    """
    trials = results.trials.set_index("trial")[list(results.parameters)].map(comparable)
    shown = trials.loc[[column.trial for column in grid.columns if not column.is_reference]]
    names = [name for name in results.parameters if shown[name].nunique() > 1]
    if answer.best is None or len(names) < 2:
        return None
    if answer.projection and (len(names) > 2 or max(shown[name].nunique() for name in names) > MOST_SIDE):
        return None
    names.sort(key=lambda name: name != answer.main)
    values = {name: in_order(shown[name]) for name in names}
    labels = parameter_labels(results.parameters)
    columns = [
        None
        if column.is_reference
        else [_place(values[name], trials.at[column.trial, name]) for name in names]
        for column in grid.columns
    ]
    best = next((i for i, column in enumerate(grid.columns) if column.trial == answer.best.trial), 0)
    words = {name: [setting_value_text(name, value) for value in values[name]] for name in names}
    return {
        "names": [{"name": labels[name], "values": words[name]} for name in names],
        "columns": columns,
        "start": columns[best] or [0] * len(names),
        "best": best,
    }


def _place(values: list, value: object) -> int | None:
    """Return the place of a value on its axis; None of one that a trial does not have."""
    return values.index(value) if value in values else None
