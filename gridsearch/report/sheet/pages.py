"""Splitting a grid that is too large for one picture into an overview and pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import ceil

from gridsearch.report.grid import CaseRow, Grid, GridColumn, Group, evenly, fewest_blocks
from gridsearch.report.sheet.layout import lay_out, smallest_cell

FEWEST_COLUMNS = 8  # of a page; where fewer fit beside all rows, the rows are split
WIDEST, TALLEST = 12, 16  # ratios and rows of an overview
BESIDE = 2  # columns of an overview on either side of the window


@dataclass(frozen=True)
class Page:
    """The part of a grid on one picture, and a note on which part it is."""

    grid: Grid
    note: str = ""


def pages(grid: Grid, image: tuple[int, int]) -> tuple[Page, ...]:
    """Return one page where all fits with cells that can be judged, or else an overview and then the pages.

    Every page has the references for comparison.

    Args:
        image: (width, height) of the pictures.
    """
    if fits_one_sheet(grid, image):
        return (Page(grid),)

    def fit(cases: Sequence[CaseRow], columns: Sequence[tuple[int, GridColumn]]) -> bool:
        return fits_one_sheet(_part(grid, columns, cases), image)

    shown = [
        _part(grid, columns, cases)
        for cases in _row_blocks(grid, image)
        for columns in fewest_blocks(_tried(grid), partial(fit, cases))
    ]
    overview = _overview(grid)
    columns = f"{len(_tried(overview))} of {len(_tried(grid))} columns"
    rows = f"{len(overview.cases)} of {len(grid.cases)} rows"
    note = f"an overview with {columns} and {rows}; everything is on {len(shown)} pages"
    numbered = (Page(part, f"page {i} of {len(shown)}") for i, part in enumerate(shown, 1))
    return Page(overview, note), *numbered


def fits_one_sheet(grid: Grid, image: tuple[int, int]) -> bool:
    """Return whether the grid fits one picture with cells that can be judged."""
    return lay_out(grid, image, smallest_cell(image)).fits


def _tried(grid: Grid) -> list[tuple[int, GridColumn]]:
    """Return the columns that are not references, each with its group's number."""
    return [(g, c) for g, group in enumerate(grid.groups) for c in group.columns if not c.is_reference]


def _part(grid: Grid, columns: Sequence[tuple[int, GridColumn]], cases: Sequence[CaseRow]) -> Grid:
    """Return a grid of these columns and rows, and the references."""
    kept = {number: tuple(c for _, c in some) for number, some in groupby(columns, key=lambda pair: pair[0])}
    groups = [
        replace(group, columns=references + kept.get(number, ()))
        for number, group in enumerate(grid.groups)
        if (references := tuple(c for c in group.columns if c.is_reference)) or number in kept
    ]
    return Grid(tuple(cases), tuple(groups))


# -- pages


def _row_blocks(grid: Grid, image: tuple[int, int]) -> list[list[CaseRow]]:
    """Return the rows in the fewest blocks beside which a few columns fit; prompts stay whole if they can."""
    few = _tried(grid)[:FEWEST_COLUMNS]
    for count in range(1, len(grid.cases) + 1):
        blocks = _split(grid.cases, ceil(len(grid.cases) / count))
        if fits_one_sheet(_part(grid, few, max(blocks, key=len)), image):
            return blocks
    return [[case] for case in grid.cases]


def _split(cases: Sequence[CaseRow], most: int) -> list[list[CaseRow]]:
    """Return blocks of at most so many rows, which end where a prompt ends unless it has more itself."""
    blocks: list[list[CaseRow]] = [[]]
    for _, same in groupby(cases, key=lambda case: case.prompt_id):
        prompt = list(same)
        if blocks[-1] and len(blocks[-1]) + len(prompt) > most:
            blocks.append([])
        for case in prompt:
            if len(blocks[-1]) == most:
                blocks.append([])
            blocks[-1].append(case)
    return blocks


# -- the overview


def _overview(grid: Grid) -> Grid:
    """Return the ratios that tell the most, with a row for each prompt."""
    tried = {g for g, _ in _tried(grid)}
    most = max(WIDEST // max(len(tried), 1), 3)
    groups = [
        replace(group, columns=_telling(group, most)) if number in tried else group
        for number, group in enumerate(grid.groups)
    ]
    firsts = [next(same) for _, same in groupby(grid.cases, key=lambda case: case.prompt_id)]
    return Grid(tuple(firsts[i] for i in evenly(len(firsts), TALLEST, None)), tuple(groups))


def _telling(group: Group, most: int) -> tuple[GridColumn, ...]:
    """Return mostly columns in the window, the best among them, and a few on either side of it."""
    columns = group.columns
    best = next((i for i, column in enumerate(columns) if column.best), None)
    alive = [i for i, column in enumerate(columns) if column.alive or i == best]
    if len(columns) <= most or not alive:
        return tuple(columns[i] for i in evenly(len(columns), most, best))
    sides = list(range(alive[0])), list(range(alive[-1] + 1, len(columns)))
    beside = [side[i] for side in sides if side for i in evenly(len(side), BESIDE, None)]
    inside = evenly(len(alive), max(most - len(beside), 2), alive.index(best) if best in alive else None)
    return tuple(columns[i] for i in sorted({*beside, *(alive[i] for i in inside)}))
