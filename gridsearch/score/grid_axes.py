"""The places of a grid's cells, and the look of the pixels at their boundaries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class GridAxis:
    """The cells along one direction, in pixels of the full size."""

    start: float
    size: float
    count: int
    margin: float

    def cells(self, scale: float) -> Iterator[tuple[float, float]]:
        """Yield where each cell starts and ends in the file."""
        for index in range(self.count):
            start = self.start + index * (self.size + self.margin)
            yield start * scale, (start + self.size) * scale

    def scaled(self, factor: float) -> "GridAxis":
        """Return the same cells at another size."""
        return GridAxis(self.start * factor, self.size * factor, self.count, self.margin * factor)

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


def label_offset(
    lines: Sequence[np.ndarray], axis: GridAxis, scale: float, most: float, gaps: Sequence[float]
) -> float | None:
    """Return how far labels are from the middles of their cells, in pixels of the file, on average.

    None where a cell has no label, where ink is before the cells, where a line is off by more than a share
    `most` of the cell, or where a gap within it is wider than in `gaps`: it is no single label then.

    Args:
        lines: where along the axis each line has ink.
        gaps: the widest gap within each line, in pixels of the file.
    """
    labelled, offsets = set(), []
    for line, widest in zip(lines, gaps, strict=True):
        if line[: int(axis.start * scale)].any():
            return None
        for index, (start, end) in enumerate(axis.cells(scale)):
            inked = np.flatnonzero(line[round(start) : round(end)])
            if len(inked) == 0:
                continue
            labelled.add(index)
            offsets.append(abs((inked[0] + inked[-1] + 1) / 2 - (end - start) / 2))
            if offsets[-1] > most * (end - start) + 2 or np.diff(inked).max(initial=0) > widest + 2:
                return None
    return float(np.mean(offsets)) if len(labelled) == axis.count else None


def white_gaps(white: np.ndarray, axis: GridAxis, scale: float) -> bool:
    """Return whether all margins are white, except for a pixel on either side that scaling has blended."""
    gaps = ((round(start) + 1, round(end) - 1) for start, end in axis.gaps(scale))
    return all(white[start:end].all() for start, end in gaps if start < end)


def framed_gaps(white: np.ndarray, axis: GridAxis, scale: float) -> float:
    """Return the share of margins with a picture on either side that is not white itself."""
    sides = [(round(start) - 3, round(end) + 2) for start, end in axis.gaps(scale)]
    return float(np.mean([not (white[before] or white[after]) for before, after in sides]))
