"""Cutting an X/Y/Z grid of AUTOMATIC1111's web UI into its cells, by its file name and its pixels.

The web UI lays a grid out like this, in pixels of the full size:

    width  = left + columns * cell width  + margin * (columns - 1),   left = 3/4 of a cell's width, or 0
    height = top  + rows    * cell height + margin * (rows - 1)

White paper lies between and beside the cells. Column labels are centred above the columns, in a band of
`top` pixels; row labels, where there are any, are centred beside the rows. Cell sizes are multiples of 8
and margins are even. So a grid has few possible layouts, and its pixels decide among them: labels must be
centred on their cells, margins must be white. Labels rather than the pictures' edges, because two blank
cells side by side show no edge.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import luma_of

PREFIX = "xyz_grid-"
SIZE_UNIT = 8  # pixels; the web UI draws in multiples of it
USUAL_SIZES = ((1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640))  # SDXL's, or turned
MAX_MARGIN = 500  # pixels; the web UI's own limit
MAX_ASPECT = 4.0  # of a cell; a longer one is several
LEAST_CELL = 64  # pixels
MOST_REDUCED = 16  # times; a grid scaled down further shows nothing to score
MAX_LABEL_LINES = 24  # of text in a label band
SEEN = 3  # pixels of the file; scaling blends the paper of a narrower margin with both neighbours
SOLID = 0.99  # share of a row or column that must be paper; JPEG leaves specks
PAPER = 235  # luma; at least this is paper, which JPEG and scaling darken from 255
INK = 200  # luma; less than this in a label band is text
STRIP_ROWS = 64  # of a sheet that are processed at once

# xyz_grid-{index}-{seed}-{grid width}-{grid height}-{cfg}-{steps}-{YYYYMMDDHHMMSS}
_NAME = re.compile(rf"{PREFIX}\d+-\d+-(\d+)-(\d+)-\d+(?:\.\d+)?-\d+-\d{{14}}")


@dataclass(frozen=True)
class GridAxis:
    """The cells along one direction, in pixels of the full size."""

    start: float
    size: float
    count: int
    margin: int

    def cells(self, scale: float) -> Iterator[tuple[float, float]]:
        """Yield where each cell starts and ends in the file."""
        for index in range(self.count):
            start = self.start + index * (self.size + self.margin)
            yield start * scale, (start + self.size) * scale

    def gaps(self, scale: float) -> Iterator[tuple[float, float]]:
        """Yield where the paper between two neighbours starts and ends in the file."""
        for before, after in pairwise(self.cells(scale)):
            yield before[1], after[0]


@dataclass(frozen=True)
class GridLayout:
    """The columns and the rows of a grid's cells."""

    columns: GridAxis
    rows: GridAxis

    def boxes(self, scale: float = 1.0) -> Iterator[tuple[int, int, tuple[float, ...]]]:
        """Yield row, column and (left, top, right, bottom) of each cell in a file of this scale."""
        for row, (top, bottom) in enumerate(self.rows.cells(scale)):
            for column, (left, right) in enumerate(self.columns.cells(scale)):
                yield row, column, (left, top, right, bottom)


@dataclass(frozen=True)
class Cell:
    """One picture of a grid: row and column, from 0 at the top left, and uint8 (H, W, 3)."""

    row: int
    column: int
    rgb: np.ndarray


def is_grid(path: str | Path) -> bool:
    """Return whether a file is named as the web UI names its grids."""
    return Path(path).name.startswith(PREFIX)


def told_size(path: str | Path) -> tuple[int, int] | None:
    """Return the grid's width and height before any scaling, if its name tells them."""
    found = _NAME.match(Path(path).name)
    return (int(found[1]), int(found[2])) if found else None


def cut_grid(rgb: np.ndarray, path: str | Path) -> list[Cell]:
    """Return the cells of a grid, row by row.

    Args:
        rgb: uint8 (H, W, 3), at full size or scaled down.
        path: its file, for the name.
    Raises:
        BadInput: no layout fits the name and the pixels.
    """
    layout, scale = grid_layout(rgb, path)
    inset = 0 if scale == 1 else 1  # scaling blends neighbours
    cells = []
    for row, column, box in layout.boxes(scale):
        left, top, right, bottom = map(round, box)
        cells.append(Cell(row, column, rgb[top + inset : bottom - inset, left + inset : right - inset]))
    return cells


def grid_layout(rgb: np.ndarray, path: str | Path) -> tuple[GridLayout, float]:
    """Return the layout of the cells at full size, and the scale of this file.

    Raises:
        BadInput: see `cut`.
    """
    height, width = rgb.shape[:2]
    told = told_size(path)
    full = told or (width, height)
    if not width <= full[0] <= width * MOST_REDUCED or abs(height - full[1] * width / full[0]) > 2:
        raise BadInput(
            f"The grid has {width} x {height} pixels, but its name says {full[0]} x {full[1]}.",
            where=path,
            why=f"It must be the whole grid, at full size or reduced by at most {MOST_REDUCED} times.",
            fix="Use the file as the web UI saved it, or rename it to score it as one picture.",
        )
    sheet = _Sheet(_luma(rgb), full, width / full[0], SIZE_UNIT if told else 0)
    for bottom in _band_bottoms(sheet):
        ranks = partial(_rank, sheet, bottom)
        if best := min(_layouts(sheet, bottom), key=ranks, default=None):
            return best, sheet.scale
    raise BadInput(
        "The grid cannot be cut into its cells.",
        where=path,
        why="No white band with a label centred above each column was found at the top.",
        fix="Save it with its legend, or score the cells as separate images.",
    )


def _luma(rgb: np.ndarray) -> np.ndarray:
    """Return `luma_of` a sheet, computed in strips: three channels of floats would take gigabytes."""
    luma = np.empty(rgb.shape[:2], np.float32)
    for top in range(0, len(rgb), STRIP_ROWS):
        luma[top : top + STRIP_ROWS] = luma_of(rgb[top : top + STRIP_ROWS])
    return luma


@dataclass(frozen=True)
class _Sheet:
    """A grid's luma (H, W), its full size (width, height), its scale, and the unit of cell sizes.

    The unit is 0 where the full size is not known: then cells can have any size.
    """

    luma: np.ndarray
    full: tuple[int, int]
    scale: float
    unit: int

    @property
    def blur(self) -> float:
        """The uncertainty of an edge, in pixels of the full size."""
        return 1.5 / self.scale - 0.5


def _band_bottoms(sheet: _Sheet) -> list[int]:
    """Return the rows where white paper ends, from the top: below the label band and above lines of text."""
    paper = (sheet.luma >= PAPER).mean(axis=1) >= SOLID
    ends = np.flatnonzero(paper[:-1] & ~paper[1:]) + 1
    return [int(row) for row in ends[:MAX_LABEL_LINES] if (sheet.luma[:row] < INK).any()]


def _layouts(sheet: _Sheet, bottom: int) -> Iterator[GridLayout]:
    """Yield layouts below a label band that ends at this row of the file."""
    picture = (sheet.luma[bottom:] >= PAPER).mean(axis=1) < SOLID
    run = len(picture) if picture.all() else int(picture.argmin())
    for columns in _columns(sheet, bottom):
        if run >= 0.2 * columns.size * sheet.scale:  # or else it is a line of text
            yield from (GridLayout(columns, rows) for rows in _rows(sheet, bottom, columns))


def _rank(sheet: _Sheet, bottom: int, layout: GridLayout) -> tuple:
    """Rank a layout: usual sizes first, then more cells, then the widest margin that is seen to be white."""
    sides = tuple(sorted((layout.columns.size, layout.rows.size), reverse=True))
    rarity = (
        0.0 if sides in USUAL_SIZES or not sheet.unit else 1.0 if sides[0] % 64 == sides[1] % 64 == 0 else 2.0
    )
    shift = abs(layout.rows.start - bottom / sheet.scale)
    if shift > sheet.blur:  # all pictures begin with white rows, perhaps
        rarity += 1.5
    margin = layout.rows.margin
    margin = -margin if margin * sheet.scale > SEEN else margin
    return rarity, -layout.columns.count, -layout.rows.count, margin, shift


def _columns(sheet: _Sheet, bottom: int) -> Iterator[GridAxis]:
    """Yield columns that fit the labels above them and the paper between them."""
    ink = sheet.luma[:bottom] < INK
    inked = np.flatnonzero(ink.any(axis=1))
    lines = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1)  # of text, each of neighbouring rows
    labels = [np.any(ink[rows[0] : rows[-1] + 1], axis=0) for rows in lines]
    white = (sheet.luma[bottom:] >= PAPER).mean(axis=0) >= SOLID
    total = sheet.full[0]
    for beside in (0.0, 0.75):  # cells' widths of row labels
        for count in range(1, int(total // LEAST_CELL) + 1):
            for margin in _margins(count):
                size = (total - margin * (count - 1)) / (count + beside)
                if size < LEAST_CELL or (sheet.unit and size % sheet.unit):
                    continue
                axis = GridAxis(beside * size, size, count, margin)
                centred = _centred_labels(labels, axis, sheet.scale, off_centre=0.03, space=0.06)
                if centred and _white_gaps(white, axis, sheet.scale):
                    yield axis


def _rows(sheet: _Sheet, bottom: int, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows that go with these columns."""
    left = int(columns.start * sheet.scale)
    labels, pictures = sheet.luma[:, :left] < INK, sheet.luma[:, left:]
    labels[:bottom] = False
    if left and not (labels.any() and labels[bottom:].mean() < 0.5):
        return
    white = (pictures >= PAPER).mean(axis=1) >= SOLID
    edges = _edges_of(pictures, columns, sheet.scale, left)
    for axis in _row_sizes(sheet, bottom, columns):
        if not _white_gaps(white, axis, sheet.scale):
            continue
        if left:  # the web UI places a row label of several lines too low
            fits = _centred_labels([np.any(labels, axis=1)], axis, sheet.scale, off_centre=0.2, space=0.2)
        else:
            fits = axis.margin * sheet.scale > SEEN or _edged(edges, axis, sheet.scale)
        if fits:
            yield axis


def _row_sizes(sheet: _Sheet, bottom: int, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows of every count, height and margin that fill the sheet below the label band's text."""
    text = np.flatnonzero((sheet.luma[:bottom] < INK).any(axis=1))
    highest, lowest = (text[-1] + 1) / sheet.scale, bottom / sheet.scale + sheet.blur
    total = sheet.full[1]
    for count in range(1, total // LEAST_CELL + 1):
        for margin in (columns.margin,) if columns.count > 1 else _margins(count):
            height = total - margin * (count - 1)
            sizes = [(height - bottom) / count]
            if sheet.unit:
                least, most = (int((height - top) / count // sheet.unit) for top in (lowest, highest))
                sizes = [sheet.unit * step for step in range(least, most + 1)]
            for size in sizes:
                top = height - count * size
                shortest = max(LEAST_CELL, columns.size / MAX_ASPECT)
                if highest <= top <= lowest and shortest <= size <= columns.size * MAX_ASPECT:
                    yield GridAxis(top, size, count, margin)


def _margins(count: int) -> range:
    return range(0, MAX_MARGIN + 1, 2) if count > 1 else range(1)


def _centred_labels(
    lines: Sequence[np.ndarray], axis: GridAxis, scale: float, off_centre: float, space: float
) -> bool:
    """Return whether every cell has a label, each line of it centred on the cell and in one piece.

    A line says where along the axis it has ink. In cell sizes, a label's middle is at most `off_centre` from
    its cell's, and a gap within it at most `space` wide.
    """
    labelled = set()
    for line in lines:
        if line[: int(axis.start * scale)].any():
            return False
        for index, (start, end) in enumerate(axis.cells(scale)):
            inked = np.flatnonzero(line[round(start) : round(end)])
            if len(inked) == 0:
                continue
            labelled.add(index)
            middle = (inked[0] + inked[-1] + 1) / 2
            if abs(middle - (end - start) / 2) > off_centre * (end - start) + 2:
                return False
            if np.diff(inked).max(initial=0) > space * (end - start) + 2:
                return False
        if any(line[max(round(start) - 2, 0) : round(end) + 2].all() for start, end in axis.gaps(scale)):
            return False
    return len(labelled) == axis.count


def _white_gaps(white: np.ndarray, axis: GridAxis, scale: float) -> bool:
    """Return whether all margins are white, except for a pixel on either side that scaling has blended."""
    gaps = ((round(start) + 1, round(end) - 1) for start, end in axis.gaps(scale))
    return all(white[start:end].all() for start, end in gaps if start < end)


def _edges_of(pictures: np.ndarray, columns: GridAxis, scale: float, left: int) -> np.ndarray:
    """Return how much each row differs from the one above in each column, (columns, H - 1).

    The difference is taken over three pixels, because scaling makes an edge that wide.
    """
    cells = [(round(start) - left, round(end) - left) for start, end in columns.cells(scale)]
    above, below = pictures[:-3], pictures[3:]
    steps = np.empty((len(cells), len(below)), np.float32)
    for row in range(0, len(below), STRIP_ROWS):  # all at once would take as much memory as the sheet
        step = np.abs(below[row : row + STRIP_ROWS] - above[row : row + STRIP_ROWS])
        steps[:, row : row + STRIP_ROWS] = [step[:, start:end].mean(axis=1) for start, end in cells]
    return np.pad(steps, ((0, 0), (1, 1)))


def _edged(edges: np.ndarray, axis: GridAxis, scale: float) -> bool:
    """Return whether the pictures change where two rows meet more than almost anywhere else."""
    reach = int(axis.size * scale)
    for meeting, _ in axis.gaps(scale):
        row = round(meeting) - 1
        here = edges[:, row - 1 : row + 2].max(axis=1, keepdims=True)
        elsewhere = np.hstack([edges[:, row - reach + 3 : row - 3], edges[:, row + 4 : row + reach - 3]])
        if np.median((elsewhere < here).mean(axis=1)) < 0.98:
            return False
    return True
