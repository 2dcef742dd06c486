"""Where a grid's cells lie, and how the pixels at their boundaries look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

STRIP_ROWS = 64  # of a sheet that are processed at once


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


def centred_labels(
    lines: Sequence[np.ndarray],
    axis: GridAxis,
    scale: float,
    off_centre: float,
    space: float,
    letters: float = 0.0,
) -> bool:
    """Return whether every cell has a label, each line of it centred on the cell and in one piece.

    A line says where along the axis it has ink. In cell sizes, a label's middle is at most `off_centre` from
    its cell's, and a gap within it at most `space` wide, or twice that where it is less than the letters are
    high, in pixels.
    """
    labelled = set()
    gap = max(min(2 * space * axis.size * scale, letters), space * axis.size * scale) + 2
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
            if np.diff(inked).max(initial=0) > gap:
                return False
        if any(line[max(round(start) - 2, 0) : round(end) + 2].all() for start, end in axis.gaps(scale)):
            return False
    return len(labelled) == axis.count


def white_gaps(white: np.ndarray, axis: GridAxis, scale: float) -> bool:
    """Return whether all margins are white, except for a pixel on either side that scaling has blended."""
    gaps = ((round(start) + 1, round(end) - 1) for start, end in axis.gaps(scale))
    return all(white[start:end].all() for start, end in gaps if start < end)


def edges_of(pictures: np.ndarray, columns: GridAxis, scale: float, left: int) -> np.ndarray:
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


def edged(edges: np.ndarray, axis: GridAxis, scale: float) -> bool:
    """Return whether the pictures change where two rows meet more than almost anywhere else."""
    reach = int(axis.size * scale)
    for meeting, _ in axis.gaps(scale):
        row = round(meeting) - 1
        here = edges[:, row - 1 : row + 2].max(axis=1, keepdims=True)
        elsewhere = np.hstack([edges[:, row - reach + 3 : row - 3], edges[:, row + 4 : row + reach - 3]])
        if np.median((elsewhere < here).mean(axis=1)) < 0.98:
            return False
    return True
