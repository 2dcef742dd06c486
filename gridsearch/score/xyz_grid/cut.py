"""An X/Y/Z grid, as AUTOMATIC1111's web UI saves it, cut into its cells by its name and its pixels.

The web UI lays a grid out so, in pixels of the full size:

    width  = left + columns * cell width  + margin * (columns - 1),   left = 3/4 of a cell's width, or 0
    height = top  + rows    * cell height + margin * (rows - 1)

White paper lies between and beside the cells. Column labels are centred above the columns, in a band of
`top` pixels; row labels, where there are any, are centred beside the rows. Cell sizes are multiples of 8
and margins are even. So a grid has few possible layouts, and its pixels decide among them: labels must be
centred on their cells, margins must be white. Labels rather than the pictures' edges, because two blank
cells side by side show no edge.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import luma_of
from gridsearch.score.xyz_grid.axis import (
    STRIP,
    Axis,
    centred_labels,
    edged,
    edges_of,
    text_lines,
    white_gaps,
)

PREFIX = "xyz_grid-"
SIZE_UNIT = 8  # pixels; the web UI draws in multiples of it
USUAL = ((1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640))  # SDXL's, either way round
MAX_MARGIN = 500  # pixels; the web UI's own limit
MAX_ASPECT = 4.0  # of a cell; a longer one is several
LEAST_CELL = 64  # pixels
MOST_REDUCED = 16  # times; a grid scaled down further shows nothing to score
MOST_LINES = 24  # of text in a label band
SEEN = 3  # pixels of the file; in a narrower margin scaling has mixed the paper with both neighbours
SOLID = 0.99  # share of a row or column that must be paper, for JPEG leaves specks
PAPER = 235  # luma; at least this is paper, whose 255 JPEG and scaling have touched
INK = 200  # luma; less than this in a label band is text

# xyz_grid-{index}-{seed}-{grid width}-{grid height}-{cfg}-{steps}-{YYYYMMDDHHMMSS}
_NAME = re.compile(rf"{PREFIX}\d+-\d+-(\d+)-(\d+)-\d+(?:\.\d+)?-\d+-\d{{14}}")


@dataclass(frozen=True)
class Layout:
    """Where the cells lie, in pixels of the full size."""

    left: float
    top: float
    width: float
    height: float
    margin: int
    columns: int
    rows: int

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of a cell."""
        left = self.left + column * (self.width + self.margin)
        top = self.top + row * (self.height + self.margin)
        return left, top, left + self.width, top + self.height


@dataclass(frozen=True)
class Cell:
    """One picture of a grid: row and column, from 0 at the top left, and uint8 (H, W, 3)."""

    row: int
    column: int
    rgb: np.ndarray


def is_grid(path: str | Path) -> bool:
    """Whether a file is named as the web UI names its grids."""
    return Path(path).name.startswith(PREFIX)


def told_size(path: str | Path) -> tuple[int, int] | None:
    """The grid's width and height before any scaling, where its name tells them."""
    found = _NAME.match(Path(path).name)
    return (int(found[1]), int(found[2])) if found else None


def cut(rgb: np.ndarray, path: str | Path) -> list[Cell]:
    """The cells of a grid, row by row.

    Args:
        rgb: uint8 (H, W, 3), at full size or scaled down.
        path: its file, for the name.
    Raises:
        BadInput: no layout fits the name and the pixels.
    """
    layout, scale = layout_of(rgb, path)
    inset = 0 if scale == 1 else 1  # scaling mixes neighbours
    cells = []
    for row in range(layout.rows):
        for column in range(layout.columns):
            left, top, right, bottom = (round(edge * scale) for edge in layout.box(row, column))
            picture = rgb[top + inset : bottom - inset, left + inset : right - inset]
            cells.append(Cell(row, column, picture))
    return cells


def layout_of(rgb: np.ndarray, path: str | Path) -> tuple[Layout, float]:
    """Where the cells lie at full size, and this file's scale against that.

    Raises:
        BadInput: see `cut`.
    """
    height, width = rgb.shape[:2]
    told = told_size(path)
    full = told or (width, height)
    if not width <= full[0] <= width * MOST_REDUCED or abs(height - full[1] * width / full[0]) > 2:
        raise BadInput(
            f"The grid has {width} x {height} pixels, its name says {full[0]} x {full[1]}.",
            where=path,
            why=f"It must be the whole grid, at full size or reduced {MOST_REDUCED} times at most.",
            fix="Give the file as the web UI saved it, or name it otherwise to score it as one picture.",
        )
    sheet = _Sheet(_luma(rgb), full, width / full[0], SIZE_UNIT if told else 0)
    for bottom in _band_bottoms(sheet):
        fitting = list(_layouts(sheet, bottom))
        if fitting:
            return min(fitting, key=lambda pair: pair[0])[1], sheet.scale
    raise BadInput(
        "The grid cannot be cut into its cells.",
        where=path,
        why="No label band, white with dark text, with a label centred above each column was found on top.",
        fix="Save it with its legend, or give the cells as images of their own.",
    )


# -- which layouts fit


def _luma(rgb: np.ndarray) -> np.ndarray:
    """`luma_of` in strips, for a whole sheet in floats of three channels would be gigabytes."""
    luma = np.empty(rgb.shape[:2], np.float32)
    for top in range(0, len(rgb), STRIP):
        luma[top : top + STRIP] = luma_of(rgb[top : top + STRIP])
    return luma


@dataclass(frozen=True)
class _Sheet:
    """A grid's luma (H, W), its full size (width, height), its scale, and what cell sizes are multiples of.

    The unit is 0 where the full size is not known, for then sizes can be anything.
    """

    luma: np.ndarray
    full: tuple[int, int]
    scale: float
    unit: int

    @property
    def blur(self) -> float:
        """How exactly an edge is known, in pixels of the full size."""
        return 1.5 / self.scale - 0.5


def _band_bottoms(sheet: _Sheet) -> list[int]:
    """Rows where white paper ends, from the top: below the label band, but also above each line of text."""
    paper = (sheet.luma >= PAPER).mean(axis=1) >= SOLID
    ends = np.flatnonzero(paper[:-1] & ~paper[1:]) + 1
    return [int(row) for row in ends[:MOST_LINES] if (sheet.luma[:row] < INK).any()]


def _layouts(sheet: _Sheet, bottom: int) -> Iterator[tuple[tuple, Layout]]:
    """Layouts that fit a label band that ends at this row of the file, each with its rank, least is best."""
    picture = (sheet.luma[bottom:] >= PAPER).mean(axis=1) < SOLID
    run = len(picture) if picture.all() else int(picture.argmin())
    for columns in _columns(sheet, bottom):
        if run < 0.2 * columns.size * sheet.scale:  # what follows is a line of text
            continue
        for rows in _rows(sheet, bottom, columns):
            layout = Layout(
                left=columns.start,
                top=rows.start,
                width=columns.size,
                height=rows.size,
                margin=rows.margin,
                columns=columns.count,
                rows=rows.count,
            )
            yield _rank(layout, sheet, bottom), layout


def _rank(layout: Layout, sheet: _Sheet, bottom: int) -> tuple:
    """Usual sizes first, then more cells, then the widest margin that is seen to be white."""
    sides = tuple(sorted((layout.width, layout.height), reverse=True))
    rarity = 0.0 if sides in USUAL or not sheet.unit else 1.0 if sides[0] % 64 == sides[1] % 64 == 0 else 2.0
    shift = abs(layout.top - bottom / sheet.scale)
    if shift > sheet.blur:  # all pictures begin with white rows, perhaps
        rarity += 1.5
    margin = -layout.margin if layout.margin * sheet.scale > SEEN else layout.margin
    return rarity, -layout.columns, -layout.rows, margin, shift


def _aspect(width: float, height: float) -> float:
    return max(width, height) / min(width, height)


def _columns(sheet: _Sheet, bottom: int) -> Iterator[Axis]:
    """Columns that fit the labels above them and the paper between them."""
    lines = text_lines(sheet.luma[:bottom] < INK)
    white = (sheet.luma[bottom:] >= PAPER).mean(axis=0) >= SOLID
    total = sheet.full[0]
    for beside in (0.0, 0.75):  # cells' widths of row labels
        for count in range(1, int(total // LEAST_CELL) + 1):
            for margin in _margins(count):
                size = (total - margin * (count - 1)) / (count + beside)
                if size < LEAST_CELL or (sheet.unit and size % sheet.unit):
                    continue
                axis = Axis(beside * size, size, count, margin)
                centred = centred_labels(lines, axis, sheet.scale, off_centre=0.03, space=0.06)
                if centred and white_gaps(white, axis, sheet.scale):
                    yield axis


def _rows(sheet: _Sheet, bottom: int, columns: Axis) -> Iterator[Axis]:
    """Rows that go with these columns."""
    left = int(columns.start * sheet.scale)
    labels, pictures = sheet.luma[:, :left] < INK, sheet.luma[:, left:]
    labels[:bottom] = False
    if left and not (labels.any() and labels[bottom:].mean() < 0.5):
        return
    white = (pictures >= PAPER).mean(axis=1) >= SOLID
    edges = edges_of(pictures, columns, sheet.scale, left)
    for axis in _row_sizes(sheet, bottom, columns):
        if not white_gaps(white, axis, sheet.scale):
            continue
        if left:
            # Of several lines the web UI hangs a row label too low.
            fits = centred_labels([labels.any(axis=1)], axis, sheet.scale, off_centre=0.2, space=0.2)
        else:
            fits = axis.margin * sheet.scale > SEEN or edged(edges, axis, sheet.scale)
        if fits:
            yield axis


def _row_sizes(sheet: _Sheet, bottom: int, columns: Axis) -> Iterator[Axis]:
    """Rows of any count, height and margin that fill the sheet below the text of the label band."""
    text = np.flatnonzero((sheet.luma[:bottom] < INK).any(axis=1))
    highest, lowest = (text[-1] + 1) / sheet.scale, bottom / sheet.scale + sheet.blur
    total = sheet.full[1]
    for count in range(1, total // LEAST_CELL + 1):
        for margin in (columns.margin,) if columns.count > 1 else _margins(count):
            room = total - margin * (count - 1)
            sizes = [(room - bottom) / count]
            if sheet.unit:
                least, most = (int((room - top) / count // sheet.unit) for top in (lowest, highest))
                sizes = [sheet.unit * step for step in range(least, most + 1)]
            for size in sizes:
                top = room - count * size
                if (
                    size >= LEAST_CELL
                    and highest <= top <= lowest
                    and _aspect(columns.size, size) <= MAX_ASPECT
                ):
                    yield Axis(top, size, count, margin)


def _margins(count: int) -> range:
    return range(0, MAX_MARGIN + 1, 2) if count > 1 else range(1)
