"""The layout of contact sheets: the cells of each, and their places in pixels.

A grid that is too large for one picture is split into an overview and pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import ceil

from gridsearch.report.cells import CaseRow, Grid, GridColumn, Group
from gridsearch.report.few import evenly, fewest_blocks

MARGIN, GAP, GROUP_GAP, LABEL = 32, 10, 36, 230  # px: around, between cells, between groups, row labels
COLUMN_HEAD, GROUP_HEAD, APART = 86, 40, 44
# Larger sheets take long to write, and some programs for sending pictures do not open them.
MOST_PIXELS, LONGEST = 24_000_000, 8192
LARGEST_CELL = 256
FEWEST_COLUMNS = 8  # of a page; where fewer fit beside all rows, the rows are split
WIDEST, TALLEST = 12, 16  # ratios and rows of an overview
BESIDE = 2  # columns of an overview on either side of the window


@dataclass(frozen=True)
class SheetLayout:
    """The places of everything on a sheet, in pixels."""

    cell: tuple[int, int]  # (width, height) of every one
    left: tuple[tuple[int, ...], ...]  # per group, the x of each of its columns
    top: tuple[int, ...]  # the y of each row of cells
    size: tuple[int, int]  # of the whole sheet
    scale: float  # of the title's band, which grows with the sheet: it can be read when that is shrunk

    @property
    def fits(self) -> bool:
        """Whether the sheet is not too large."""
        width, height = self.size
        return width * height <= MOST_PIXELS and max(self.size) <= LONGEST

    def box(self, group: int, column: int, row: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of a cell."""
        x, y = self.left[group][column], self.top[row]
        return x, y, x + self.cell[0], y + self.cell[1]


def smallest_cell(image: tuple[int, int]) -> int:
    """Return the longer side of a cell that still shows what a picture of that size looks like: 192 px.

    A small picture shows everything at twice its size.
    """
    return min(192, max(128, 2 * max(image)))


def lay_out(grid: Grid, image: tuple[int, int]) -> SheetLayout:
    """Place the cells, which have the shape of `image`, the rendered size; the more, the smaller they are."""
    least = smallest_cell(image)
    # a few columns may be large; small images are enlarged at most three times
    cell = min(max(2000 // len(grid.columns), least), LARGEST_CELL, max(least, 3 * max(image)))
    place = _place(grid, image, cell)
    while not place.fits and cell > least:
        cell = max(least, int(cell * 0.9))
        place = _place(grid, image, cell)
    return place


def _place(grid: Grid, image: tuple[int, int], cell: int) -> SheetLayout:
    width, height = (max(1, round(side * cell / max(image))) for side in image)
    x, left = MARGIN + LABEL, []
    for group in grid.groups:
        left.append(tuple(x + i * (width + GAP) for i in range(len(group.columns))))
        x = left[-1][-1] + width + GROUP_GAP
    right = max(x - GROUP_GAP, MARGIN + 640)
    scale = min(max(right / 1600, 1.0), 2.5)
    top, y = [], head(scale) + GROUP_HEAD + COLUMN_HEAD
    for row in range(len(grid.cases)):
        y += 8 if row and grid.first_of_prompt(row) else 0
        y += APART if grid.first_held_out(row) else 0
        top.append(y)
        y += height + GAP
    return SheetLayout((width, height), tuple(left), tuple(top), (right + MARGIN, y - GAP + MARGIN), scale)


def head(scale: float) -> int:
    """Return where the title's band ends."""
    return MARGIN + round(134 * scale)


# -- pages


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
    grid, said = _best_ranks(grid)
    said = "; ".join([*(note.removesuffix(".") for note in grid.notes), *filter(None, [said])])
    if _fits(grid, image):
        return (Page(grid, said),)

    def fit(cases: Sequence[CaseRow], columns: Sequence[tuple[int, GridColumn]]) -> bool:
        return _fits(_part(grid, columns, cases), image)

    shown = [
        _part(grid, columns, cases)
        for cases in _row_blocks(grid, image)
        for columns in fewest_blocks(_tried(grid), partial(fit, cases))
    ]
    overview = _overview(grid)
    columns = f"{len(_tried(overview))} of {len(_tried(grid))} columns"
    rows = f"{len(overview.cases)} of {len(grid.cases)} rows"
    note = f"an overview with {columns} and {rows}; all are on {_beside(len(shown))}"
    note = f"{note}; {said}" if said else note
    numbered = (Page(part, f"page {i} of {len(shown)}") for i, part in enumerate(shown, 1))
    return Page(overview, note), *numbered


def _beside(count: int) -> str:
    """Return where pages lie: in files that have the overview's name and a number."""
    return (
        "the page whose name ends in -1"
        if count == 1
        else f"the {count} pages whose names end in -1 to -{count}"
    )


def _best_ranks(grid: Grid) -> tuple[Grid, str]:
    """Return the grid with the first of many ranked trials, and a note on that; as it is without any."""
    most = next((len(group.columns) for group in grid.groups if group.ranked), 0)
    if most <= WIDEST:
        return grid, ""
    groups = [replace(g, columns=g.columns[:WIDEST]) if g.ranked else g for g in grid.groups]
    note = f"the best {WIDEST} of {most} trials, {most - WIDEST} are left out"
    return replace(grid, groups=tuple(groups)), note


def _fits(grid: Grid, image: tuple[int, int]) -> bool:
    """Return whether the grid fits one picture with cells that can be judged."""
    return _place(grid, image, smallest_cell(image)).fits


def _tried(grid: Grid) -> list[tuple[int, GridColumn]]:
    """Return the columns that are not references, each with its group's number."""
    return [(g, c) for g, group in enumerate(grid.groups) for c in group.columns if not c.is_reference]


def _part(grid: Grid, columns: Sequence[tuple[int, GridColumn]], cases: Sequence[CaseRow]) -> Grid:
    """Return a grid of these columns and rows, and the references."""
    kept = {number: tuple(c for _, c in some) for number, some in groupby(columns, key=lambda pair: pair[0])}
    groups = [
        group if group.is_references else replace(group, columns=kept[number])
        for number, group in enumerate(grid.groups)
        if group.is_references or number in kept
    ]
    return replace(grid, cases=tuple(cases), groups=tuple(groups))


def _row_blocks(grid: Grid, image: tuple[int, int]) -> list[list[CaseRow]]:
    """Return the rows in the fewest blocks beside which a few columns fit; prompts stay whole if they can."""
    few = _tried(grid)[:FEWEST_COLUMNS]
    for count in range(1, len(grid.cases) + 1):
        blocks = _split(grid.cases, ceil(len(grid.cases) / count))
        if _fits(_part(grid, few, max(blocks, key=len)), image):
            return blocks
    return [[case] for case in grid.cases]


def _split(cases: Sequence[CaseRow], most: int) -> list[list[CaseRow]]:
    """Return parts of at most so many rows; each ends where a block of rows ends, unless that has more."""
    blocks: list[list[CaseRow]] = [[]]
    for _, same in groupby(cases, key=lambda case: case.block):
        whole = list(same)
        if blocks[-1] and len(blocks[-1]) + len(whole) > most:
            blocks.append([])
        for case in whole:
            if len(blocks[-1]) == most:
                blocks.append([])
            blocks[-1].append(case)
    return blocks


def _overview(grid: Grid) -> Grid:
    """Return the columns that tell the most, with one seed of each prompt, and all of its rows."""
    tried = sum(not group.is_references for group in grid.groups)
    most = max(WIDEST // max(tried, 1), 3)
    groups = [
        group if group.is_references else replace(group, columns=_telling(group, most))
        for group in grid.groups
    ]
    prompts = (list(same) for _, same in groupby(grid.cases, key=lambda case: case.prompt_id))
    firsts = [[case for case in same if case.seed == same[0].seed] for same in prompts]
    chosen = evenly(len(firsts), max(TALLEST // max(map(len, firsts)), 2), None)
    return Grid(tuple(case for i in chosen for case in firsts[i]), tuple(groups))


def _telling(group: Group, most: int) -> tuple[GridColumn, ...]:
    """Return mostly columns in the window, the best among them, and a few beside it; or the first ranks."""
    columns = group.columns
    if group.ranked:
        return columns[:most]
    best = next((i for i, column in enumerate(columns) if column.best), None)
    alive = [i for i, column in enumerate(columns) if column.alive or i == best]
    if len(columns) <= most or not alive:
        return tuple(columns[i] for i in evenly(len(columns), most, best))
    sides = list(range(alive[0])), list(range(alive[-1] + 1, len(columns)))
    beside = [side[i] for side in sides if side for i in evenly(len(side), BESIDE, None)]
    inside = evenly(len(alive), max(most - len(beside), 2), alive.index(best) if best in alive else None)
    return tuple(columns[i] for i in sorted({*beside, *(alive[i] for i in inside)}))
