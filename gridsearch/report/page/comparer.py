"""What the comparer is given: which pictures there are, what was thought of each, and where to begin.

The pictures themselves are those of the grid, which stand in the page once.
"""

import math
from collections.abc import Iterator

from gridsearch.base.words import parameter_text, slice_text, value_text
from gridsearch.report.colours import text_on, verdict_colour
from gridsearch.report.grid import CaseRow, Grid, GridColumn, Picture
from gridsearch.report.page.cells import first_case
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.analysis.window import WindowEdge

MOST_JUMPS = 5


def comparer(grid: Grid, answer: Answer) -> dict:
    """The comparer's data; rows and columns are numbered as in the grid.

    Keys: axis (what runs along a slider), cases, columns, groups (each `[first, last]` column with its
    heading), verdicts (their colours), cells (`[verdict, defect, blur, noise, words]` by case and column, or
    null), curves (the group of each slice of the answer), start, jumps (`{text, case, column}`: what is
    worth a look).
    """
    columns = [column for group in grid.groups for column in group.columns]
    said = {p.verdict for column in columns for p in column.pictures.values()}
    return {
        "axis": parameter_text(answer.main or "trial"),
        "cases": [{"id": case.prompt_id, "prompt": case.prompt, "seed": case.seed} for case in grid.cases],
        "columns": [_column(column, answer.best and answer.best.trial) for column in columns],
        "groups": list(_groups(grid)),
        "verdicts": {verdict: _colours(verdict_colour(verdict)) for verdict in sorted(said)},
        "cells": [[_cell(column.pictures.get(case.id)) for column in columns] for case in grid.cases],
        "curves": [_group_of(grid, found) for found in answer.slices],
        "start": _start(grid, columns, answer),
        "jumps": list(_jumps(grid, columns, answer)),
    }


def _column(column: GridColumn, wanted: int | None) -> dict:
    return {
        "heading": column.heading,
        "value": column.value,
        "reference": column.trial is None,
        "mark": _mark(column, wanted),
        "missing": column.missing[0],
    }


def _mark(column: GridColumn, wanted: int | None) -> str:
    """What is special about it: every mode has a best one, and one of them is recommended."""
    if column.trial is None:
        return "a parent’s own"
    if not column.best:
        return ""
    return "recommended" if column.trial == wanted else "best of its mode"


def _groups(grid: Grid) -> Iterator[dict]:
    first = 0
    for group in grid.groups:
        last = first + len(group.columns) - 1
        reference = group.columns[0].trial is None
        yield {"heading": group.heading, "first": first, "last": last, "reference": reference}
        first = last + 1


def _group_of(grid: Grid, found: Slice) -> int:
    """Of the trials with the slice's settings; 0 where none has an image."""
    names = [group.heading for group in grid.groups]
    name = slice_text(found.settings)
    return names.index(name) if name in names else next(_trial_groups(grid), 0)


def _trial_groups(grid: Grid) -> Iterator[int]:
    return (i for i, group in enumerate(grid.groups) if group.columns[0].trial is not None)


def _colours(colour: str) -> dict:
    return {"colour": colour, "ink": text_on(colour)}


def _cell(picture: Picture | None) -> list | None:
    if picture is None:
        return None
    numbers = [_short(value) for value in (picture.defect, picture.blur, picture.noise)]
    return [picture.verdict, *numbers, picture.said.partition(": ")[2]]


def _short(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None


def _start(grid: Grid, columns: list[GridColumn], answer: Answer) -> dict:
    """The recommended trial on a case that is sound there; beside it another mode, or a parent's own."""
    trials = [i for i, column in enumerate(columns) if column.trial is not None] or [0]
    wanted = answer.best.trial if answer.best else None
    at = next((i for i in trials if columns[i].trial == wanted), trials[0])
    return {
        "case": grid.cases.index(first_case(grid, columns[at])),
        "column": at,
        "beside": _other_mode(grid, columns, at),
    }


def _other_mode(grid: Grid, columns: list[GridColumn], at: int) -> int:
    """The column of the next group of trials that is nearest to this one; else the first of all."""
    others = [
        group
        for group in _groups(grid)
        if not group["reference"] and not group["first"] <= at <= group["last"]
    ]
    if not others or columns[at].value is None:
        return 0 if at else len(columns) - 1
    first, last = others[0]["first"], others[0]["last"]
    return min(range(first, last + 1), key=lambda i: abs(columns[i].value - columns[at].value))


def _jumps(grid: Grid, columns: list[GridColumn], answer: Answer) -> Iterator[dict]:
    """The prompts that fail first on either side, then those that stand out where the best is."""
    best = answer.best
    if best is None or best.ratio is None or answer.projection:
        return
    own = _own_columns(grid, columns, best.trial)
    if not own:
        return
    ends = (best.window.low, best.window.high) if best.window else ()
    views = best.disagreement.prompts if best.disagreement else ()
    found = [(edge.prompt, edge.prompt_at, _first_to_fail(edge, best.ratio)) for edge in ends if edge.prompt]
    odd = [view for view in views if view.stands_out]
    found += [(view.prompt, best.ratio, f"{view.prompt} {view.stands_out}") for view in odd]
    for prompt, ratio, text in found[:MOST_JUMPS]:
        column = min(own, key=lambda i: abs(columns[i].value - ratio))
        yield {"text": text, "case": _case_of(grid, prompt, columns[column]), "column": column}


def _own_columns(grid: Grid, columns: list[GridColumn], trial: int) -> list[int]:
    """Of the group that the trial is in; none where another one stands in its place."""
    at = next((i for i, column in enumerate(columns) if column.trial == trial), None)
    groups = [] if at is None else [g for g in _groups(grid) if g["first"] <= at <= g["last"]]
    return [i for group in groups for i in range(group["first"], group["last"] + 1)]


def _first_to_fail(edge: WindowEdge, best: float) -> str:
    side = "below" if edge.prompt_at < best else "above"
    return f"{edge.prompt} fails first {side}, at {value_text(edge.prompt_at)}"


def _case_of(grid: Grid, prompt: str, column: GridColumn) -> int:
    """A case of that prompt that fails there, or else its first."""
    cases = [(i, case) for i, case in enumerate(grid.cases) if case.prompt_id == prompt]
    failing = [i for i, case in cases if _fails(column, case)]
    return failing[0] if failing else cases[0][0]


def _fails(column: GridColumn, case: CaseRow) -> bool:
    picture = column.pictures.get(case.id)
    return picture is not None and picture.verdict != "ok"
