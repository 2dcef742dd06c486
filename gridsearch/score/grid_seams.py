"""Seams: where two pictures of a grid meet, rows on either side differ more than rows within a picture."""

from collections.abc import Iterable

import numpy as np

from gridsearch.score.grid_axes import GridAxis

MOST_LANES, LEAST_LANE = 64, 8  # in which rows are compared; pixels
STRIP_ROWS = 64  # of a sheet that are processed at once
STANDS_OUT = 0.95  # share of the rows of both pictures that differ less from the next than they do at a seam
TEXTURE = 1.0  # levels by which rows of a picture differ that is not flat
# Share of a picture's lanes that are not flat beside a seam; of fewer, nothing can be seen.
LANES_TEXTURED = 0.3
SEAM_REACH = 7  # pixels


def steps_of(luma: np.ndarray) -> np.ndarray:
    """Return how much each row of (H, W) differs from the one above in each lane, (lanes, H - 1).

    The difference is taken over three pixels, because scaling makes an edge that wide.
    """
    height, width = luma.shape
    lanes = max(min(MOST_LANES, width // LEAST_LANE), 1)
    starts = np.arange(lanes) * width // lanes
    widths = np.diff([*starts, width])[:, None]
    steps = np.zeros((lanes, max(height - 1, 0)), np.float32)
    for row in range(0, height - 3, STRIP_ROWS):  # all at once would take as much memory as the sheet
        strip = luma[row : row + STRIP_ROWS + 3]
        step = np.abs(strip[3:] - strip[:-3])
        steps[:, row + 1 : row + 1 + len(step)] = np.add.reduceat(step, starts, axis=1).T / widths
    return steps


def seams(
    steps: np.ndarray,
    length: float,
    places: Iterable[float],
    reach: float,
    crossing: GridAxis,
    near: int = SEAM_REACH,
) -> tuple[int, int]:
    """Return in how many pictures there is a seam at one of these rows, and in how many there is none.

    Args:
        steps: see `steps_of`.
        length: of a row, in pixels.
        places: rows where two pictures may meet.
        reach: height of a picture.
        crossing: the columns of pictures, in pixels.
        near: pixels on either side of a place; where so much is flat and alike, nothing can be seen.
    """
    middles, rows = (
        (np.arange(len(steps)) + 0.5) * length / len(steps),
        [round(place) - 1 for place in places],
    )
    seen = missed = 0
    for start, end in crossing.cells(1.0):
        picture = steps[(start <= middles) & (middles < end)]
        mean = picture.mean(axis=0) if len(picture) else np.zeros(steps.shape[1], np.float32)
        for row in rows:
            here = mean[max(row - 1, 0) : row + 2].max(initial=0)
            beside, around = _beside(mean, row, int(reach) - 4), _beside(picture, row, near)
            if here > TEXTURE and (beside < here).mean() >= STANDS_OUT:
                seen += 1
            elif around.size and (around.max(axis=1) > TEXTURE).mean() > LANES_TEXTURED:
                missed += 1
    return seen, missed


def _beside(steps: np.ndarray, row: int, reach: int) -> np.ndarray:
    """Return the steps on either side of a row, without those that scaling has blended with it."""
    return np.concatenate(
        [steps[..., max(row - reach, 0) : max(row - 3, 0)], steps[..., row + 4 : row + reach]], axis=-1
    )
