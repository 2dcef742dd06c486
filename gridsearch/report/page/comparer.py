"""The data of the comparer: which pictures there are, their scores, and where to begin.

The pictures themselves are those of the grid, which are in the page once.
"""

import math
from collections.abc import Iterable, Iterator

from gridsearch.base.words import parameter_text, slice_text, value_text
from gridsearch.report.colours import chip
from gridsearch.report.grid import Grid, GridColumn, Picture
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.window import WindowEdge

MOST_JUMPS = 5


def comparer(grid: Grid, answer: Answer) -> dict:
    """Return the comparer's data; rows and columns are numbered as in the grid.

    Keys: axis (of the sliders), cases, columns, groups (each with its heading, `first` and `last` column),
    verdicts (their colours), cells (`[verdict, defect, blur, noise, words]` by case and column, or null),
    curves (the group of each slice of the answer), start, jumps (`{text, case, column}`, worth a look).
    """
    verdicts = {picture.verdict for column in grid.columns for picture in column.pictures.values()}
    best = answer.best.trial if answer.best else None
    return {
        "axis": parameter_text(answer.main or "trial"),
        "cases": [{"id": case.prompt_id, "prompt": case.prompt, "seed": case.seed} for case in grid.cases],
        "columns": [_column(column, best) for column in grid.columns],
        "groups": list(_groups(grid)),
        "verdicts": {verdict: chip(verdict) for verdict in sorted(verdicts)},
        "cells": [[_cell(column.pictures.get(case.id)) for column in grid.columns] for case in grid.cases],
        "curves": [_group_of(grid, found) for found in answer.slices],
        "start": _start(grid, best),
        "jumps": list(_jumps(grid, answer))[:MOST_JUMPS],
    }


def _column(column: GridColumn, recommended: int | None) -> dict:
    mark = "recommended" if column.trial == recommended else "best of its mode"
    return {
        "heading": column.heading,
        "value": column.value,
        "reference": column.is_reference,
        "mark": "a parent’s own" if column.is_reference else mark if column.best else "",
        "missing": column.missing[0],
    }


def _groups(grid: Grid) -> Iterator[dict]:
    first = 0
    for group in grid.groups:
        last = first + len(group.columns) - 1
        yield {
            "heading": group.heading,
            "first": first,
            "last": last,
            "reference": group.columns[0].is_reference,
        }
        first = last + 1


def _group_of(grid: Grid, found: Slice) -> int:
    """Return the group of a slice's trials; the first group of trials where it has no image."""
    names = [group.heading for group in grid.groups]
    name = slice_text(found.settings)
    trials = (i for i, group in enumerate(grid.groups) if not group.columns[0].is_reference)
    return names.index(name) if name in names else next(trials, 0)


def _cell(picture: Picture | None) -> list | None:
    if picture is None:
        return None
    numbers = [
        float(f"{value:.3g}") if math.isfinite(value) else None
        for value in (picture.defect, picture.blur, picture.noise)
    ]
    return [picture.verdict, *numbers, picture.said.partition(": ")[2]]


def _start(grid: Grid, recommended: int | None) -> dict:
    """Return the recommended trial with a case that is sound there; beside it another mode, or a parent."""
    trials = [i for i, column in enumerate(grid.columns) if not column.is_reference] or [0]
    at = next((i for i in trials if grid.columns[i].trial == recommended), trials[0])
    case = grid.cases.index(grid.sound_case(grid.columns[at]))
    return {"case": case, "column": at, "beside": _other_mode(grid, at)}


def _other_mode(grid: Grid, at: int) -> int:
    """Return the column nearest to this one in another group of trials, or else the first of all."""
    columns = grid.columns
    others = [g for g in _groups(grid) if not g["reference"] and not g["first"] <= at <= g["last"]]
    if not others or columns[at].value is None:
        return 0 if at else len(columns) - 1
    return _nearest(grid, range(others[0]["first"], others[0]["last"] + 1), columns[at].value)


def _nearest(grid: Grid, among: Iterable[int], value: float | None) -> int:
    """Return the column with the nearest value of the main parameter."""
    return min(among, key=lambda i: abs((grid.columns[i].value or 0.0) - (value or 0.0)))


def _jumps(grid: Grid, answer: Answer) -> Iterator[dict]:
    """Yield the prompts that fail first on either side, then those that stand out at the best ratio."""
    best = answer.best
    if best is None or best.ratio is None or answer.projection:
        return
    at = next((i for i, column in enumerate(grid.columns) if column.trial == best.trial), None)
    own = [
        i
        for g in _groups(grid)
        if at in range(g["first"], g["last"] + 1)
        for i in range(g["first"], g["last"] + 1)
    ]
    if not own:  # another trial of the same values stands in its place
        return
    edges = (best.window.low, best.window.high) if best.window else ()
    views = best.disagreement.prompts if best.disagreement else ()
    found = [(edge.prompt, edge.prompt_at, _first_to_fail(edge, best.ratio)) for edge in edges if edge.prompt]
    found += [(v.prompt, best.ratio, f"{v.prompt} {v.stands_out}") for v in views if v.stands_out]
    for prompt, ratio, text in found:
        column = _nearest(grid, own, ratio)
        yield {"text": text, "case": _failing_case(grid, prompt, grid.columns[column]), "column": column}


def _first_to_fail(edge: WindowEdge, best: float) -> str:
    side = "below" if edge.prompt_at is not None and edge.prompt_at < best else "above"
    return f"{edge.prompt} fails first {side}, at {value_text(edge.prompt_at)}"


def _failing_case(grid: Grid, prompt: str, column: GridColumn) -> int:
    """Return a case of the prompt that fails in this column, or else its first."""
    cases = [
        (i, column.pictures.get(case.id)) for i, case in enumerate(grid.cases) if case.prompt_id == prompt
    ]
    failing = [i for i, picture in cases if picture and picture.verdict != "ok"]
    return failing[0] if failing else cases[0][0]
