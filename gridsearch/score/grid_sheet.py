"""A labelled grid as it is read, and the text in the band above its pictures."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from gridsearch.score.grid_seams import steps_of

MAX_LABEL_LINES = 24  # of text in a label band
SOLID = 0.99  # share of a row or column that must be paper; JPEG leaves specks
PAPER = 235  # luma; at least this is paper, which JPEG and scaling darken from 255
INK = 200  # luma; less than this in a label band is text
COLOURED = 40  # levels between the channels of a frame that somebody drew over the labels
THICKEST = 1 / 80  # of the sheet's longer side: the thickest frame


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

    @cached_property
    def down(self) -> np.ndarray:
        """The difference of each row from the one above, see `steps_of`."""
        return steps_of(self.luma)

    @cached_property
    def across(self) -> np.ndarray:
        """The difference of each column from the one before."""
        return steps_of(self.luma.T)

    def white_rows(self, left: int = 0) -> np.ndarray:
        """Return which rows are paper from this column of pixels on, bool (H,)."""
        if left not in self._white_rows:
            self._white_rows[left] = (self.luma[:, left:] >= PAPER).mean(axis=1) >= SOLID
        return self._white_rows[left]

    @cached_property
    def _white_rows(self) -> dict[int, np.ndarray]:
        return {}


def band_bottoms(sheet: LabelledSheet) -> list[int]:
    """Return the rows where white paper ends, from the top: below the label band and above lines of text."""
    blank = ((sheet.luma >= PAPER).mean(axis=1) >= SOLID) & (sheet.luma >= INK).all(axis=1)
    ends = np.flatnonzero(blank[:-1] & ~blank[1:]) + 1
    return [int(row) for row in ends[:MAX_LABEL_LINES] if (sheet.luma[:row] < INK).any()]


def text_lines(band: np.ndarray, first: int = 0) -> list[np.ndarray]:
    """Return the rows of each line of text in a band of luma, from a row on."""
    inked = np.flatnonzero((band[first:] < INK).any(axis=1)) + first
    return np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1) if len(inked) else []


def without_frames(luma: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Return luma with paper for coloured lines that cross the label band: labels are black or grey."""
    pictures = (luma >= PAPER).mean(axis=1) < 0.5
    high = int(pictures.argmax()) if pictures.any() else len(luma)
    thick = int(max(luma.shape) * THICKEST) + 8 | 1  # odd, for a window about a pixel
    band = rgb[: high + thick]
    colour = np.ptp(band, axis=2) > COLOURED
    if not colour[: max(high - 2, 0)].any():
        return luma
    paper = np.pad(luma[: len(band)] >= PAPER, thick, constant_values=True)
    coloured = np.pad(scipy.ndimage.maximum_filter(colour, 3), thick)
    for axis in (1, 0, 1, 0):  # at first without the corners
        wide = scipy.ndimage.maximum_filter1d(paper.astype(np.uint8), thick, axis)
        paper |= coloured & (scipy.ndimage.minimum_filter1d(wide, thick, axis) > 0)
    cleared = luma.copy()
    cleared[: len(band)][(paper & coloured)[thick:-thick, thick:-thick]] = 255
    return cleared
