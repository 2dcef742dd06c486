"""The cost of a layout: how badly the pixels and the habits of people speak for it; the least is the best.

Each term is about half the square of a deviation in its own spread, as in a log-likelihood, so that several
weak hints may outweigh a strong one: a doorway in the middle of every picture is a seam where none should be,
but letters half as large as they should be say that it is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from gridsearch.score.grid_axes import GridAxis, GridLayout, framed_gaps, label_offset
from gridsearch.score.grid_seams import seams
from gridsearch.score.grid_sheet import INK, PAPER, SOLID, LabelledSheet, text_lines

USUAL_SIZES = {
    (wide * more // 2, high * more // 2)  # and enlarged by hires fix
    for wide, high in (
        *((1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640)),  # SDXL's
        *((512, 512), (768, 512)),
    )
    for more in (2, 3, 4)
}
UNUSUAL_64, UNUSUAL = 0.5, 1.0  # for sizes that are multiples of 64, or of less; for shapes
TOLD = -8.0  # for the size that the text tells
SAME_SHAPE = 0.01  # by which the sides' ratio of a scaled cell may be off
LONG, LONGER = 2.4, 8.0  # aspect beyond which a cell is more likely several, and for each e-fold of it
LATE = 2.0  # for a picture that begins with white rows
LINE, LINE_HIGH = 3.0, 0.1  # for pictures that begin with what looks like a label; its height in cells' sides
SEEN = 3  # pixels of the file; scaling blends the paper of a narrower margin with both neighbours
MARGIN, UNSEEN_MARGIN = 0.5, 0.01  # for any, and for each pixel of one that cannot be seen
FRAMED, WIDER = 1.0, 0.001  # what a margin saves that is white between pictures, and each pixel of it
LABEL_OFF = 0.03  # cells' widths by which the middle of a column label may be off
NO_LABELS = 5.0
LEAST_REACH = 8  # pixels on either side of the lowest ink, at which the height of letters is taken
# Of the letters' height: the spread of labels about the middles of their cells; and the most that they cost.
OFF_CENTRE, MOST_OFF = 0.1, 4.0
LETTERS, SPREAD, MOST_LETTERS = 0.905, 0.08, 12.0  # of letters' size, see `_letters`, and of its logarithm
NO_SEAM, SEAM_WITHIN = 5.0, 4.0  # for the share of pictures


@dataclass(frozen=True)
class Labels:
    """The labels of a layout: their distance from the middles of columns, and where the tallest ends.

    All in pixels of the file, as is the height of that line.
    """

    off: float
    end: int
    high: int


@dataclass(frozen=True)
class Evidence:
    """The evidence of the pixels on layouts whose label band may end at row `bottom` of the file."""

    sheet: LabelledSheet
    bottom: int

    @cached_property
    def lines(self) -> list[np.ndarray]:
        """The rows of each line of text in the label band."""
        return text_lines(self.sheet.luma[: self.bottom], self.sheet.titled)

    @cached_property
    def ink(self) -> list[np.ndarray]:
        """The places along its width where each line has ink."""
        return [_inked(self.sheet.luma[rows[0] : rows[-1] + 1]) for rows in self.lines]

    @cached_property
    def lowest(self) -> np.ndarray:
        """The row below the lowest ink of the label band in each column of pixels; 0 without any."""
        band = self.sheet.luma[self.sheet.titled : self.bottom] < INK
        return np.where(band.any(axis=0), self.bottom - band[::-1].argmax(axis=0), 0)

    @cached_property
    def first(self) -> np.ndarray:
        """The luma with which the pictures begin, up to the next row that is paper."""
        pictures, paper = self.sheet.luma[self.bottom :], self.sheet.white_rows()[self.bottom :]
        return pictures[: int(paper.argmax()) if paper.any() else None]

    @cached_property
    def white(self) -> np.ndarray:
        """The columns of pixels that are paper below the label band."""
        return (self.sheet.luma[self.bottom :] >= PAPER).mean(axis=0) >= SOLID

    @cached_property
    def _labels(self) -> dict[GridAxis, Labels | None]:
        return {}

    def labels(self, columns: GridAxis) -> Labels | None:
        """Return the labels of columns; None where they are not centred on them, see `label_offset`.

        A space between words is narrower than letters are high.
        """
        if columns not in self._labels:
            high = list(map(len, self.lines))
            off = label_offset(self.ink, columns, self.sheet.scale, LABEL_OFF, high)
            self._labels[columns] = None if off is None else self._with_tallest(columns, off)
        return self._labels[columns]

    def _with_tallest(self, columns: GridAxis, off: float) -> Labels | None:
        """Return labels that are so far off, with where the tallest ends; None where no text is there."""
        left = round(columns.start * self.sheet.scale)
        middle = int(self.lowest[left:].argmax()) + left
        reach = max(4 * (self.bottom - int(self.lowest[middle])), LEAST_REACH)  # about two letters
        about = self.sheet.luma[: self.bottom, max(middle - reach, 0) : middle + reach]
        lines = text_lines(about, self.sheet.titled)
        return Labels(off, int(lines[-1][-1]) + 1, len(lines[-1])) if lines else None

    def oddity(self, layout: GridLayout) -> float:
        """Return the cost of a layout's measures."""
        late = abs(layout.rows.start - self.bottom / self.sheet.scale) > self.sheet.blur
        return _rarity(self.sheet, layout) + LATE * late + self._margin(layout)

    def mislabelled(self, layout: GridLayout) -> float:
        """Return the cost of labels beside their columns, of another size, and where the pictures begin."""
        labels, scale, high = self.labels(layout.columns), self.sheet.scale, len(self.first)
        sides = (layout.columns.size + layout.rows.size) * scale
        line = [_inked(self.first)] if high < LINE_HIGH * sides else []
        begun = line and label_offset(line, layout.columns, scale, LABEL_OFF, [high]) is not None
        cost = LINE * bool(begun)
        if not labels:
            return cost + NO_LABELS
        off = labels.off / (OFF_CENTRE * min(map(len, self.lines)) + 1)
        return cost + min(off**2 / 2, MOST_OFF) + _letters(labels, layout.rows.start * scale, sides / 25)

    def mismatch(self, layout: GridLayout) -> float:
        """Return the cost of boundaries without a seam, and of seams in the middle or at a third of cells."""
        columns, rows = layout.columns.scaled(self.sheet.scale), layout.rows.scaled(self.sheet.scale)
        height, width = self.sheet.luma.shape
        cost = 0.0
        for steps, length, axis, crossing in (
            (self.sheet.down, width, rows, columns),
            (self.sheet.across, height, columns, rows),
        ):
            seen, missed = seams(steps, length, [end for end, _ in axis.gaps(1.0)], axis.size, crossing)
            within = [seams(steps, length, _within(axis, n), axis.size / n, crossing) for n in (2, 3)]
            cost += NO_SEAM * missed / (seen + missed + 1)
            cost += SEAM_WITHIN * max(seen / (seen + missed + 1) for seen, missed in within)
        return cost

    def _margin(self, layout: GridLayout) -> float:
        columns, margin, scale = layout.columns, layout.rows.margin, self.sheet.scale
        if margin * scale <= SEEN:
            return MARGIN * (margin > 0) + UNSEEN_MARGIN * margin
        if columns.count > 1:
            framed = framed_gaps(self.white, columns, scale)
        else:
            framed = framed_gaps(self.sheet.white_rows(round(columns.start * scale)), layout.rows, scale)
        return MARGIN - FRAMED * framed - WIDER * margin


def _letters(labels: Labels, top: float, wanted: float) -> float:
    """Return the cost of the letters' size where, in pixels of the file, a 25th of a cell's sides is wanted.

    It is seen below the tallest label, where there is paper of half a letter's size. Where the last line was
    too long and is in smaller letters, there is also half of what its height lacks.
    """
    size = (top - labels.end + labels.high / 2) / LETTERS
    return min((log(size / wanted) / SPREAD) ** 2 / 2, MOST_LETTERS) if size > 0 else MOST_LETTERS


def _inked(luma: np.ndarray) -> np.ndarray:
    return np.any(luma < INK, axis=0)


def _within(axis: GridAxis, parts: int) -> Iterator[float]:
    """Yield the places at which so many parts of each cell meet."""
    for start, end in axis.cells(1.0):
        yield from (start + (end - start) * part / parts for part in range(1, parts))


def _rarity(sheet: LabelledSheet, layout: GridLayout) -> float:
    """Return the cost of a size and a shape that few pictures have."""
    width, height = layout.columns.size, layout.rows.size
    longer, shorter = max(width, height), min(width, height)
    if sheet.cell:
        told = sheet.cell[0] / sheet.cell[1]
        if (width, height) == sheet.cell or (not sheet.unit and abs(width / height / told - 1) <= SAME_SHAPE):
            return TOLD
    cost = LONGER * max(log(longer / shorter / LONG), 0.0)
    if not sheet.unit:
        usual = any(abs(longer / shorter * high / wide - 1) <= SAME_SHAPE for wide, high in USUAL_SIZES)
    else:
        usual = (longer, shorter) in USUAL_SIZES
    return cost + (0.0 if usual else UNUSUAL_64 if longer % 64 == shorter % 64 == 0 else UNUSUAL)
