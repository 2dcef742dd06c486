"""The data of the comparer: which pictures there are, their scores, and where to begin.

The pictures themselves are those of the grid, which are in the page once.
"""

import math
from collections.abc import Iterable, Iterator

from gridsearch.base.words import parameter_text, slice_text, value_text
from gridsearch.report.cells import Grid, GridColumn, Picture
from gridsearch.report.colours import chip
from gridsearch.results.analysis.answer import Answer, Slice

MOST_JUMPS = 5


def comparer(grid: Grid, answer: Answer) -> dict:
    """Return the comparer's data; rows and columns are numbered as in the grid.

    Keys: axis (of the sliders), ranked (whether trials stand on it by rank), cases, columns, groups (each
    with its heading, `first` and `last` column), verdicts (their colours), cells (`[verdict, defect, blur,
    noise, words]` by case and column, or null), curves (the group of each slice of the answer), start, jumps
    (`{text, case, column}`, worth a look).
    """
    verdicts = {picture.verdict for column in grid.columns for picture in column.pictures.values()}
    best = answer.best.trial if answer.best else None
    return {
        "axis": axis_text(answer),
        "ranked": answer.projection,
        "cases": [{"id": case.prompt_id, "prompt": case.label, "seed": case.seed} for case in grid.cases],
        "columns": [_column(column, best) for column in grid.columns],
        "groups": [
            {"heading": group.heading, "first": span[0], "last": span[-1], "reference": group.is_references}
            for group, span in grid.spans
        ],
        "verdicts": {verdict: chip(verdict) for verdict in sorted(verdicts)},
        "cells": [[_cell(column.pictures.get(case.id)) for column in grid.columns] for case in grid.cases],
        "curves": [_group_of(grid, found) for found in answer.slices],
        "start": _start(grid, best),
        "jumps": list(_jumps(grid, answer))[:MOST_JUMPS],
    }


def axis_text(answer: Answer) -> str:
    """Return what the columns differ in, in words."""
    return "trial" if answer.projection else parameter_text(answer.main or "trial")


def _column(column: GridColumn, recommended: int | None) -> dict:
    mark = "recommended" if column.trial == recommended else "best of its mode"
    return {
        "heading": column.name,
        "value": column.value,
        "reference": column.is_reference,
        "mark": "a parent’s own" if column.is_reference else mark if column.best else "",
        "missing": column.missing[0],
    }


def _group_of(grid: Grid, found: Slice) -> int:
    """Return the group of a slice's trials; the first group of trials where it has no image."""
    name = slice_text(found.settings)
    named = [i for i, group in enumerate(grid.groups) if group.heading == name]
    trials = [i for i, group in enumerate(grid.groups) if not group.is_references]
    return next(iter(named + trials), 0)


def _cell(picture: Picture | None) -> list | None:
    if picture is None:
        return None
    values = (picture.defect, picture.blur, picture.noise)
    numbers = [float(f"{value:.3g}") if math.isfinite(value) else None for value in values]
    return [picture.verdict, *numbers, picture.said.partition(": ")[2]]


def _start(grid: Grid, recommended: int | None) -> dict:
    """Return the recommended trial with a case that is sound there.

    Beside it is the column nearest to it in another group of trials, or else the first of all.
    """
    columns = grid.columns
    trials = [i for i, column in enumerate(columns) if not column.is_reference] or [0]
    at = next((i for i in trials if columns[i].trial == recommended), trials[0])
    others = [span for group, span in grid.spans if not group.is_references and at not in span]
    beside = 0 if at else len(columns) - 1
    if others and columns[at].value is not None:
        beside = _nearest(grid, others[0], columns[at].value)
    return {"case": grid.cases.index(grid.sound_case(columns[at])), "column": at, "beside": beside}


def _nearest(grid: Grid, among: Iterable[int], value: float | None) -> int:
    """Return the column with the nearest value of the main parameter."""
    return min(among, key=lambda i: abs((grid.columns[i].value or 0.0) - (value or 0.0)))


def _jumps(grid: Grid, answer: Answer) -> Iterator[dict]:
    """Yield the prompts that fail first on either side, then those that fail or stand out at the best."""
    best = answer.best
    if best is None or best.ratio is None or answer.projection:
        return
    found = []
    for edge in (best.window.low, best.window.high) if best.window else ():
        if edge.prompt:
            side = "below" if edge.prompt_at is not None and edge.prompt_at < best.ratio else "above"
            text = f"{edge.prompt} has the first failed image {side}, at {value_text(edge.prompt_at)}"
            found.append((edge.prompt, edge.prompt_at, text))
    views = best.disagreement.prompts if best.disagreement else ()
    odd = {view.prompt: f"{view.prompt} {view.stands_out}" for view in views if view.stands_out}
    own = next((column.pictures for column in grid.columns if column.trial == best.trial), {})
    failed = [case.prompt_id for case in grid.cases if case.id in own and own[case.id].verdict != "ok"]
    itself = f"fails at {value_text(best.ratio)} itself"
    found += [(one, best.ratio, f"{one} {itself}") for one in dict.fromkeys(failed) if one not in odd]
    found += [(prompt, best.ratio, text) for prompt, text in odd.items()]
    spans = [span for _, span in grid.spans if any(grid.columns[i].trial == best.trial for i in span)]
    for prompt, ratio, text in found if spans else ():  # another trial of the same values may be in its place
        column = _nearest(grid, spans[0], ratio)
        pictures = grid.columns[column].pictures
        cases = [i for i, case in enumerate(grid.cases) if case.prompt_id == prompt]
        drawn = [i for i in cases if grid.cases[i].id in pictures]
        failing = [i for i in drawn if pictures[grid.cases[i].id].verdict != "ok"]
        yield {"text": text, "case": (failing or cases)[0], "column": column}
