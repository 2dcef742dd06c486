"""The layout of a labelled grid: its cells, found by its labels, its white paper and its boundaries.

AUTOMATIC1111's web UI lays a grid out like this, in pixels of the full size:

    width  = left + columns * cell width  + margin * (columns - 1),   left = 3/4 of a cell's width, or 0
    height = top  + rows    * cell height + margin * (rows - 1)

White paper lies between and beside the cells. Column labels are centred above the columns, in a band of
`top` pixels; row labels, where there are any, are centred beside the rows. Cell sizes are multiples of 8
and margins are even. So a grid has few possible layouts, and its pixels decide among them: labels must be
centred on their cells, margins must be white. Labels rather than the pictures' edges, because two blank
cells side by side show no edge.

A Z axis puts such grids side by side, all of one layout with the same labels, and a title in larger letters
above each (`draw_xyz_grid` in `scripts/xyz_grid.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from gridsearch.score.grid_axes import (
    GridAxis,
    GridLayout,
    centred_labels,
    edged,
    edges_of,
    white_gaps,
)

USUAL_SIZES = ((1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640))  # SDXL's, or turned
MAX_MARGIN = 500  # pixels; the web UI's own limit
MAX_ASPECT = 4.0  # of a cell; a longer one is several
LEAST_CELL = 64  # pixels
MAX_LABEL_LINES = 24  # of text in a label band
SEEN = 3  # pixels of the file; scaling blends the paper of a narrower margin with both neighbours
SOLID = 0.99  # share of a row or column that must be paper; JPEG leaves specks
PAPER = 235  # luma; at least this is paper, which JPEG and scaling darken from 255
LABEL_PAPER = 0.5  # share of the space for row labels that is paper, however long they are
LABELS_END = 0.28  # share of the width: before it row labels end, where there are columns with margins
INK = 200  # luma; less than this in a label band is text
TITLE_LINES = 4  # of a title above a sub-grid, at most
TITLE_LARGER = 1.15  # times as high as a column label; letters are a 25th of what is below them
SAME_SHAPE = 0.01  # by which the sides' ratio of a scaled cell may be off
LABEL_OFF = 0.03  # cells' widths by which the middle of a column label or a title may be off
LABEL_GAP = 0.06  # cells' widths of the widest gap within one
OTHER_INK = 0.03  # share of a label's ink that may lie elsewhere in the next sub-grid

LayoutRank = tuple[float, int, int, int, float]  # the least is the best; see `_rank`


@dataclass(frozen=True)
class LabelledSheet:
    """A grid's luma (H, W), its full size (width, height) and scale, and what is known of its cells.

    The unit of the cells' sizes is 0 where the full size is not known: then they can have any size. `cell` is
    the (width, height) that the file's text tells. In the first `titled` rows is the title of a sub-grid.
    """

    luma: np.ndarray
    full: tuple[float, float]
    scale: float
    unit: int
    blur: float  # the uncertainty of an edge, in pixels of the full size
    cell: tuple[int, int] | None = None
    titled: int = 0


def labelled_layouts(sheet: LabelledSheet, has_z: bool) -> list[GridLayout]:
    """Return the layout of a labelled grid; of one with a Z axis, that of each sub-grid; [] where none fits.

    Args:
        has_z: the file's text names a Z axis, so that titles need not be large to be taken for some.
    """
    for bottom in _band_bottoms(sheet):
        fitting = _fitting(sheet, bottom, _columns(sheet, bottom))
        found = [(rank, 1, layout) for layout, rank in fitting.items()]
        found += _with_z_axis(sheet, bottom, has_z)
        if found:
            _, count, layout = min(found, key=lambda one: (*one[0][:3], -one[1], *one[0][3:]))
            return [_moved(layout, number * sheet.full[0] / count) for number in range(count)]
    return []


def _with_z_axis(
    sheet: LabelledSheet, bottom: int, has_z: bool
) -> Iterator[tuple[LayoutRank, int, GridLayout]]:
    """Yield rank, number and layout of sub-grids that lie side by side, each below its title."""
    lines = _text_lines(sheet, bottom)
    masks = [_inked_columns(sheet, rows) for rows in lines]
    for count in range(2, int(sheet.full[0] // LEAST_CELL) + 1):
        if sheet.unit and sheet.full[0] % count:
            continue
        titles = GridAxis(0, sheet.full[0] / count, count, 0)
        for end in range(1, min(len(lines), TITLE_LINES) + 1):
            if not centred_labels(masks[:end], titles, sheet.scale, LABEL_OFF, LABEL_GAP):
                continue
            if has_z or _larger(lines[:end], lines[end:]):
                parts = list(_sub_sheets(sheet, titles, int(lines[end - 1][-1]) + 1))
                for layout, rank in _common(parts, bottom).items():
                    yield (rank[0], count * rank[1], *rank[2:]), count, layout


def _sub_sheets(sheet: LabelledSheet, titles: GridAxis, titled: int) -> Iterator[LabelledSheet]:
    for start, end in titles.cells(sheet.scale):
        luma = sheet.luma[:, round(start) : round(end)]
        yield replace(sheet, luma=luma, full=(titles.size, sheet.full[1]), titled=titled)


def _common(parts: Sequence[LabelledSheet], bottom: int) -> dict[GridLayout, LayoutRank]:
    """Return the layouts whose columns fit every sub-grid, and whose rows fit one.

    The pictures of another may be blank. None of a single picture is among them: the title is its label.
    """
    columns = [axis for axis in _columns(parts[0], bottom) if axis.count > 1 or axis.start]
    if not columns or not _same_ink([part.luma[part.titled : bottom] for part in parts]):
        return {}
    for part in parts[1:]:
        columns = [axis for axis in _columns(part, bottom) if axis in columns]
    columns = [axis for axis in columns if _same_ink([_row_labels(part, bottom, axis) for part in parts])]
    found: dict[GridLayout, LayoutRank] = {}
    for part in parts:
        for layout, rank in _fitting(part, bottom, columns).items():
            found[layout] = min(rank, found.get(layout, rank))
    return found


def _larger(titles: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> bool:
    """Return whether the letters of titles, given as rows of text, are higher than those of labels."""
    return not labels or max(map(len, titles)) >= TITLE_LARGER * max(map(len, labels))


def _same_ink(labels: Sequence[np.ndarray]) -> bool:
    """Return whether the labels of all sub-grids, as luma, are those of the first, give or take a pixel."""
    width = min(luma.shape[1] for luma in labels)
    first, *others = (luma[:, :width] < INK for luma in labels)
    for other in others:
        apart = sum(
            int((one & ~scipy.ndimage.binary_dilation(two, np.ones((3, 3)))).sum())
            for one, two in ((first, other), (other, first))
        )
        if apart > OTHER_INK * (int(first.sum()) + int(other.sum())):
            return False
    return True


def _row_labels(sheet: LabelledSheet, bottom: int, columns: GridAxis) -> np.ndarray:
    """Return the luma of the row labels; of a sub-grid without the column that scaling has blended."""
    return sheet.luma[bottom:, int(bool(sheet.titled)) : int(columns.start * sheet.scale)]


def _moved(layout: GridLayout, right: float) -> GridLayout:
    return replace(layout, columns=replace(layout.columns, start=layout.columns.start + right))


def _fitting(sheet: LabelledSheet, bottom: int, columns: Iterable[GridAxis]) -> dict[GridLayout, LayoutRank]:
    """Return the layouts of these columns below a label band that ends at this row, and the rank of each."""
    return {layout: _rank(sheet, bottom, layout) for layout in _layouts(sheet, bottom, columns)}


def _text_lines(sheet: LabelledSheet, bottom: int) -> list[np.ndarray]:
    """Return the rows of each line of text in the label band, below the title."""
    inked = np.flatnonzero((sheet.luma[sheet.titled : bottom] < INK).any(axis=1)) + sheet.titled
    return np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1) if len(inked) else []


def _inked_columns(sheet: LabelledSheet, rows: np.ndarray) -> np.ndarray:
    return np.any(sheet.luma[rows[0] : rows[-1] + 1] < INK, axis=0)


def _band_bottoms(sheet: LabelledSheet) -> list[int]:
    """Return the rows where white paper ends, from the top: below the label band and above lines of text."""
    paper = (sheet.luma >= PAPER).mean(axis=1) >= SOLID
    ends = np.flatnonzero(paper[:-1] & ~paper[1:]) + 1
    return [int(row) for row in ends[:MAX_LABEL_LINES] if (sheet.luma[:row] < INK).any()]


def _layouts(sheet: LabelledSheet, bottom: int, columns: Iterable[GridAxis]) -> Iterator[GridLayout]:
    """Yield layouts of these columns below a label band that ends at this row of the file."""
    picture = (sheet.luma[bottom:] >= PAPER).mean(axis=1) < SOLID
    run = len(picture) if picture.all() else int(picture.argmin())
    for axis in columns:
        if run >= 0.2 * axis.size * sheet.scale:  # or else it is a line of text
            yield from (GridLayout(axis, rows) for rows in _rows(sheet, bottom, axis))


def _rank(sheet: LabelledSheet, bottom: int, layout: GridLayout) -> LayoutRank:
    """Rank a layout: usual sizes first, then more cells, then the widest margin that is seen to be white."""
    width, height = layout.columns.size, layout.rows.size
    sides = tuple(sorted((width, height), reverse=True))
    rarity = (
        0.0 if sides in USUAL_SIZES or not sheet.unit else 1.0 if sides[0] % 64 == sides[1] % 64 == 0 else 2.0
    )
    if sheet.cell and _alike((width, height), sheet.cell, 0 if sheet.unit else SAME_SHAPE):
        rarity = -1.0
    shift = abs(layout.rows.start - bottom / sheet.scale)
    if shift > sheet.blur:  # all pictures begin with white rows, perhaps
        rarity += 1.5
    margin = layout.rows.margin
    margin = -margin if margin * sheet.scale > SEEN else margin
    return rarity, -layout.columns.count, -layout.rows.count, margin, shift


def _alike(size: tuple[float, float], told: tuple[int, int], tolerance: float) -> bool:
    """Return whether a cell has the size that is told; with a tolerance, its shape, for it may be scaled."""
    if tolerance:
        return abs(size[0] * told[1] / (size[1] * told[0]) - 1) <= tolerance
    return size == told


def _columns(sheet: LabelledSheet, bottom: int) -> Iterator[GridAxis]:
    """Yield columns that fit the labels above them and the paper between them."""
    lines = _text_lines(sheet, bottom)
    labels = [_inked_columns(sheet, rows) for rows in lines]
    letters = min(map(len, lines), default=0)
    white = (sheet.luma[bottom:] >= PAPER).mean(axis=0) >= SOLID
    total = sheet.full[0]
    labels_end = LABELS_END * white.size
    widest = (_longest_run(white, labels_end) + 2) / sheet.scale
    for beside in (0.0, 0.75):  # cells' widths of row labels
        for count in range(1, int(total // LEAST_CELL) + 1 if labels else 2):  # without labels just one
            for margin in _margins(count, sheet.unit, widest):
                size = (total - margin * (count - 1)) / (count + beside)
                if size < LEAST_CELL or (sheet.unit and size % sheet.unit):
                    continue
                axis = GridAxis(beside * size, size, count, margin)
                centred = centred_labels(labels, axis, sheet.scale, LABEL_OFF, LABEL_GAP, letters)
                if (centred or not labels) and white_gaps(white, axis, sheet.scale):
                    yield axis


def _rows(sheet: LabelledSheet, bottom: int, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows that go with these columns."""
    left = int(columns.start * sheet.scale)
    labels, pictures = sheet.luma[:, :left] < INK, sheet.luma[:, left:]
    labels[:bottom] = False
    if sheet.titled:
        labels[:, :1] = False  # scaling blends it with the sub-grid before
    if left and not (labels.any() and (sheet.luma[bottom:, :left] >= PAPER).mean() >= LABEL_PAPER):
        return
    white = (pictures >= PAPER).mean(axis=1) >= SOLID
    edges = edges_of(pictures, columns, sheet.scale, left)
    for axis in _row_sizes(sheet, bottom, columns):
        if not white_gaps(white, axis, sheet.scale):
            continue
        if left:  # the web UI places a row label of several lines too low
            fits = centred_labels([np.any(labels, axis=1)], axis, sheet.scale, off_centre=0.2, space=0.2)
        else:
            fits = axis.margin * sheet.scale > SEEN or edged(edges, axis, sheet.scale)
        if fits:
            yield axis


def _row_sizes(sheet: LabelledSheet, bottom: int, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows of every count, height and margin that fill the sheet below the label band's text."""
    lines = _text_lines(sheet, bottom)
    text_end = lines[-1][-1] + 1 if lines else sheet.titled
    highest, lowest = text_end / sheet.scale, bottom / sheet.scale + sheet.blur
    total = sheet.full[1]
    for count in range(1, int(total // LEAST_CELL) + 1):
        for margin in (columns.margin,) if columns.count > 1 else _margins(count, sheet.unit):
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


def _margins(count: int, unit: int, widest: float = MAX_MARGIN) -> range:
    """Return the margins between so many cells; odd ones too where the file may have been scaled."""
    return range(0, int(min(widest, MAX_MARGIN)) + 1, 2 if unit else 1) if count > 1 else range(1)


def _longest_run(flags: np.ndarray, after: float) -> int:
    """Return the length of the longest run of flags among those that end after a place."""
    ends = np.flatnonzero(~np.concatenate(([False], flags, [False])))
    return int((np.diff(ends) - 1)[ends[1:] > after].max(initial=0))
