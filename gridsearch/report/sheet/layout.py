"""The layout of a contact sheet, in pixels."""

from dataclasses import dataclass

from gridsearch.report.grid import Grid

MARGIN, GAP, GROUP_GAP, LABEL = 32, 10, 36, 230  # px: around, between cells, between groups, row labels
COLUMN_HEAD, GROUP_HEAD, APART = 86, 40, 44
# Larger sheets take long to write, and some programs for sending pictures do not open them.
MOST_PIXELS, LONGEST = 24_000_000, 8192
LARGEST_CELL = 256


@dataclass(frozen=True)
class SheetLayout:
    """The places of everything on a sheet, in pixels.

    Attributes:
        cell: (width, height) of every cell.
        left: per group, the x of each of its columns.
        top: the y of each row of cells.
        size: of the whole sheet.
        scale: of the title's band, which grows with the sheet, so that it can be read when that is shrunk.
    """

    cell: tuple[int, int]
    left: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    size: tuple[int, int]
    scale: float

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


def lay_out(grid: Grid, image: tuple[int, int], cell: int | None = None) -> SheetLayout:
    """Place the cells; they have the shape of `image`, the rendered size.

    Args:
        cell: longer side of a cell in pixels; by default it depends on the images and their number.
    """
    least = smallest_cell(image)
    if cell is None:
        columns = sum(len(group.columns) for group in grid.groups)
        # a few columns may be large; small images are enlarged at most three times
        cell = min(max(2000 // columns, least), LARGEST_CELL, max(least, 3 * max(image)))
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
        y += 8 if row and first_of_prompt(grid, row) else 0
        y += APART if first_held_out(grid, row) else 0
        top.append(y)
        y += height + GAP
    return SheetLayout((width, height), tuple(left), tuple(top), (right + MARGIN, y - GAP + MARGIN), scale)


def head(scale: float) -> int:
    """Return where the title's band ends."""
    return MARGIN + round(96 * scale)


def first_of_prompt(grid: Grid, row: int) -> bool:
    """Return whether a row is the first of its prompt."""
    return row == 0 or grid.cases[row - 1].prompt_id != grid.cases[row].prompt_id


def first_held_out(grid: Grid, row: int) -> bool:
    """Return whether a row is the first held-out one."""
    return grid.cases[row].held_out and (row == 0 or not grid.cases[row - 1].held_out)
