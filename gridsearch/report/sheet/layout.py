"""Where everything stands on a contact sheet, in pixels."""

from dataclasses import dataclass

from gridsearch.report.grid import Grid

MARGIN, GAP, GROUP_GAP, LABEL = 32, 10, 36, 230  # px: around, between cells, between groups, row labels
COLUMN_HEAD, GROUP_HEAD, APART = 86, 40, 44
# A sheet that is larger is not opened by what people send pictures with, and takes long to write.
MOST_PIXELS, LONGEST = 24_000_000, 8192
LARGEST_CELL = 256


@dataclass(frozen=True)
class SheetLayout:
    """Where everything stands, in pixels.

    Attributes:
        cell: (width, height) of every cell.
        left: per group, the x of each of its columns.
        top: the y of each row of cells.
        size: of the whole sheet.
        scale: of the title's band, which grows with the sheet, to be read when the sheet is shrunk.
    """

    cell: tuple[int, int]
    left: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    size: tuple[int, int]
    scale: float

    @property
    def fits(self) -> bool:
        width, height = self.size
        return width * height <= MOST_PIXELS and max(self.size) <= LONGEST

    def box(self, group: int, column: int, row: int) -> tuple[int, int, int, int]:
        x, y = self.left[group][column], self.top[row]
        return x, y, x + self.cell[0], y + self.cell[1]


def smallest_cell(image: tuple[int, int]) -> int:
    """The longer side of a cell in which one can still judge a picture of that size: 192 px.

    A small picture shows all it has at twice its size.
    """
    return min(192, max(128, 2 * max(image)))


def lay_out(grid: Grid, image: tuple[int, int], cell: int | None = None) -> SheetLayout:
    """Place the cells; `image` is the rendered size, which gives the cells their shape.

    Args:
        cell: longer side of a cell in pixels; chosen by the images and their number where not given.
    """
    least = smallest_cell(image)
    if cell is None:
        columns = sum(len(group.columns) for group in grid.groups)
        # few columns may be large; small images are enlarged three times at most
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
    """Where the title's band ends."""
    return MARGIN + round(96 * scale)


def first_of_prompt(grid: Grid, row: int) -> bool:
    return row == 0 or grid.cases[row - 1].prompt_id != grid.cases[row].prompt_id


def first_held_out(grid: Grid, row: int) -> bool:
    return grid.cases[row].held_out and (row == 0 or not grid.cases[row - 1].held_out)
