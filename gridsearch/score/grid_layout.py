"""The layout of a labelled grid: its cells, found by its labels, its white paper and its boundaries.

AUTOMATIC1111's web UI lays a grid out like this, in pixels of the full size:

    width  = left + columns * cell width  + margin * (columns - 1),   left = 3/4 of a cell's width, or 0
    height = top  + rows    * cell height + margin * (rows - 1)

White paper lies between and beside the cells. Column labels are centred above the columns, in a band of
`top` pixels; row labels, where there are any, are centred beside the rows. Cell sizes are multiples of 8
and margins are even. So a grid has few possible layouts: labels must be centred on their cells, and margins
must be white. The one of the least cost is taken, see `grid_cost`.

A Z axis puts such grids side by side, all of one layout with the same labels, and a title in larger letters
above each (`draw_xyz_grid` in `scripts/xyz_grid.py`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import scipy

from gridsearch.score.grid_axes import GridAxis, GridLayout, label_offset, white_gaps
from gridsearch.score.grid_cost import LABEL_OFF, LINE_HIGH, Evidence
from gridsearch.score.grid_sheet import INK, PAPER, LabelledSheet, band_bottoms

MAX_MARGIN = 500  # pixels; the web UI's own limit
MAX_ASPECT = 4.0  # of a cell; a longer one is several
LEAST_CELL = 64  # pixels
LABEL_PAPER = 0.5  # share of the space for row labels that is paper, however long they are
LABELS_FROM = 4  # pixels of the file that are paper before row labels
LABELS_END = 0.28  # share of the width: before it row labels end, where there are columns with margins
TITLE_LINES = 4  # of a title above a sub-grid, at most
TITLE_LARGER = 1.15  # times as high as a column label; letters are a 25th of what is below them
TITLE_OFF = 0.03  # sub-grids' widths by which the middle of a title may be off
TITLE_GAP = 0.06  # sub-grids' widths of the widest gap within a title
ROW_LABEL_OFF = 0.2  # cells' heights; the web UI places a row label of several lines too low
TITLED = 4.0  # the cost that titles save, below which the labels of all sub-grids are the same
LEAST_LINE = 5  # pixels of the file: the height of a line of text
MOST_PASTED = 4  # grids that somebody put together in one file
OTHER_INK = 0.03  # share of a label's ink that may lie elsewhere in the next sub-grid


def labelled_layouts(sheet: LabelledSheet, has_z: bool) -> list[GridLayout]:
    """Return the layout of a labelled grid; of one with a Z axis, that of each sub-grid; [] where none fits.

    Args:
        has_z: the file's text names a Z axis, so that titles need not be large to be taken for some.
    """
    candidates: list[tuple[Sequence[Evidence], GridLayout]] = []
    for evidence in (Evidence(sheet, bottom) for bottom in band_bottoms(sheet)):
        groups: list[Sequence[Evidence]] = [[evidence], *_with_z_axis(evidence, has_z)]
        for parts in groups:
            candidates += [(parts, layout) for layout in _fitting(parts)]
    if not candidates:
        return []
    parts, layout = _least(candidates)
    return [_moved(layout, number * sheet.full[0] / len(parts)) for number in range(len(parts))]


def has_second_band(sheet: LabelledSheet, layout: GridLayout) -> bool:
    """Return whether there are labels of columns among the pictures of a layout: another grid lies below."""
    top, scale = round(layout.rows.start * sheet.scale), sheet.scale
    high = LINE_HIGH * (layout.columns.size + layout.rows.size) * scale
    blank = sheet.white_rows()[top:]
    changes = top + np.flatnonzero(blank[1:] != blank[:-1]) + 1
    for before, start, end, after in zip(changes, changes[1:], changes[2:], changes[3:], strict=False):
        line = not blank[start - top] and LEAST_LINE <= end - start < high
        if line and min(start - before, after - end) > (end - start) / 4:
            ink = np.any(sheet.luma[start:end] < INK, axis=0)
            if label_offset([ink], layout.columns, scale, LABEL_OFF, [end - start]) is not None:
                return True
    return False


def are_put_together(sheet: LabelledSheet) -> bool:
    """Return whether the file can be cut if it is taken for a few grids of one size, in a row or a column."""
    for count, axis in product(range(2, MOST_PASTED + 1), (0, 1)):
        if sheet.full[1 - axis] >= count * LEAST_CELL:
            lumas = np.array_split(sheet.luma, count, axis)
            sizes = [(luma.shape[1] / sheet.scale, luma.shape[0] / sheet.scale) for luma in lumas]
            parts = [
                replace(sheet, luma=luma, full=full, unit=0) for luma, full in zip(lumas, sizes, strict=True)
            ]
            if all(labelled_layouts(part, has_z=False) for part in parts):
                return True
    return False


def _least(
    candidates: Sequence[tuple[Sequence[Evidence], GridLayout]],
) -> tuple[Sequence[Evidence], GridLayout]:
    """Return the sub-grids and their layout of the least cost, which is the mean over the sub-grids.

    More evidence can only add to a cost, so it is not read for layouts that cost too much without it.
    """

    def mean(term: Callable[[Evidence, GridLayout], float], index: int) -> float:
        parts, layout = candidates[index]
        return sum(term(part, layout) for part in parts) / len(parts)

    odd = [
        mean(Evidence.oddity, index) - TITLED * (len(parts) > 1)
        for index, (parts, _) in enumerate(candidates)
    ]
    least, best = math.inf, 0
    for index in np.argsort(odd, kind="stable"):
        cost = odd[index]
        for term in (Evidence.mislabelled, Evidence.mismatch):
            cost += mean(term, index) if cost < least else 0.0
        if cost < least:
            least, best = cost, index
    return candidates[best]


def _with_z_axis(evidence: Evidence, has_z: bool) -> Iterator[list[Evidence]]:
    """Yield sub-grids that may lie side by side, each below its title."""
    sheet, lines = evidence.sheet, evidence.lines
    for count in range(2, int(sheet.full[0] // LEAST_CELL) + 1):
        if sheet.unit and sheet.full[0] % count:
            continue
        titles = GridAxis(0, sheet.full[0] / count, count, 0)
        for end in range(1, min(len(lines), TITLE_LINES) + 1):
            gaps = [TITLE_GAP * titles.size * sheet.scale] * end
            if label_offset(evidence.ink[:end], titles, sheet.scale, TITLE_OFF, gaps) is None:
                continue
            if end == len(lines) and not all(
                evidence.white[round(start) :][:LABELS_FROM].any() for start, _ in titles.cells(sheet.scale)
            ):
                continue  # not even rows are labelled
            if has_z or _larger(lines[:end], lines[end:]):
                subs = _sub_sheets(sheet, titles, int(lines[end - 1][-1]) + 1)
                yield [Evidence(sub, evidence.bottom) for sub in subs]


def _sub_sheets(sheet: LabelledSheet, titles: GridAxis, titled: int) -> Iterator[LabelledSheet]:
    for start, end in titles.cells(sheet.scale):
        luma = sheet.luma[:, round(start) : round(end)]
        yield replace(sheet, luma=luma, full=(titles.size, sheet.full[1]), titled=titled)


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


def _row_labels(evidence: Evidence, columns: GridAxis) -> np.ndarray:
    """Return the luma of the row labels; of a sub-grid without the column that scaling has blended."""
    sheet = evidence.sheet
    return sheet.luma[evidence.bottom :, int(bool(sheet.titled)) : int(columns.start * sheet.scale)]


def _moved(layout: GridLayout, right: float) -> GridLayout:
    return replace(layout, columns=replace(layout.columns, start=layout.columns.start + right))


def _fitting(parts: Sequence[Evidence]) -> set[GridLayout]:
    """Return the layouts whose columns fit every sub-grid, and whose rows fit one.

    The pictures of another may be white. None of a single picture is among several: the title is its label.
    """
    if not _same_ink([part.sheet.luma[part.sheet.titled : part.bottom] for part in parts]):
        return set()
    columns = [axis for axis in _columns(parts[0]) if len(parts) == 1 or axis.count > 1 or axis.start]
    for part in parts[1:]:
        columns = [axis for axis in _columns(part) if axis in columns]
    columns = [axis for axis in columns if _same_ink([_row_labels(part, axis) for part in parts])]
    return {GridLayout(axis, rows) for part in parts for axis in columns for rows in _rows(part, axis)}


def _columns(evidence: Evidence) -> Iterator[GridAxis]:
    """Yield columns that go with the labels above them and with the white margins below."""
    sheet = evidence.sheet
    white, total = evidence.white, sheet.full[0]
    widest = (_longest_run(white, LABELS_END * white.size) + 2) / sheet.scale
    for beside in (0.0, 0.75):  # cells' widths of row labels
        for count in range(
            1, int(total // LEAST_CELL) + 1 if evidence.lines else 2
        ):  # without labels just one
            for margin in _margins(count, sheet.unit, widest):
                size = (total - margin * (count - 1)) / (count + beside)
                if size < LEAST_CELL or (sheet.unit and size % sheet.unit):
                    continue
                axis = GridAxis(beside * size, size, count, margin)
                centred = not evidence.lines or evidence.labels(axis)
                if centred and white_gaps(white, axis, sheet.scale):
                    yield axis


def _rows(evidence: Evidence, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows that go with these columns, with the labels beside them and with the white margins."""
    sheet, bottom = evidence.sheet, evidence.bottom
    left = int(columns.start * sheet.scale)
    labels = sheet.luma[:, :left] < INK
    labels[:bottom] = False
    if sheet.titled:
        labels[:, :1] = False  # scaling blends it with the sub-grid before
    if left and not (labels.any() and (sheet.luma[bottom:, :left] >= PAPER).mean() >= LABEL_PAPER):
        return
    white = sheet.white_rows(left)
    inked = np.any(labels, axis=1)
    for axis in _row_sizes(evidence, columns):
        gap = ROW_LABEL_OFF * axis.size * sheet.scale
        if left and label_offset([inked], axis, sheet.scale, ROW_LABEL_OFF, [gap]) is None:
            continue
        if white_gaps(white, axis, sheet.scale):
            yield axis


def _row_sizes(evidence: Evidence, columns: GridAxis) -> Iterator[GridAxis]:
    """Yield rows of every count, height and margin that fill the sheet below the label band's text."""
    sheet, bottom, lines = evidence.sheet, evidence.bottom, evidence.lines
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
