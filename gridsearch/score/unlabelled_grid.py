"""The layout of a grid without labels, by the size of its pictures that its text tells.

The web UI puts the pictures of a batch, and an X/Y/Z grid without its legend, edge to edge (`image_grid` in
`modules/images.py`). Which boundaries are there is seen in the pixels, so a grid that was scaled is cut too.
"""

from collections.abc import Iterator

import numpy as np

from gridsearch.score.grid_axes import GridAxis, GridLayout
from gridsearch.score.grid_seams import seams, steps_of

LEAST_PICTURE = 32  # pixels
SIDE_OFF = 1.0  # pixels by which a scaled picture's side may be off
TRUST_TOLD = 1 / 3  # for each boundary that is missed so many must be seen, for pictures may be much alike
FEW_MISSED = 3  # boundaries that may all be missed


def unlabelled_layout(luma: np.ndarray, cell: tuple[int, int]) -> GridLayout | None:
    """Return the layout of a grid whose pictures lie edge to edge; None where its size fits no such grid.

    Args:
        luma: float (H, W).
        cell: (width, height) of its pictures before any scaling.
    """
    height, width = luma.shape
    as_told = (width / cell[0], height / cell[1])
    down, across = steps_of(luma), steps_of(luma.T)
    best, most, doubtful = None, 0, None
    for columns, rows in _shapes(width, height, cell):
        layout = GridLayout(GridAxis(0, width / columns, columns, 0), GridAxis(0, height / rows, rows, 0))
        votes = zip(
            _votes(down, layout.rows, layout.columns),
            _votes(across, layout.columns, layout.rows),
            strict=True,
        )
        seen, missed = map(sum, votes)
        if (columns, rows) == as_told and seen >= missed:
            return layout
        if (columns, rows) == as_told and (seen >= TRUST_TOLD * missed or missed <= FEW_MISSED):
            doubtful = layout
        if seen - missed > most:
            best, most = layout, seen - missed
    return best or doubtful


def _shapes(width: int, height: int, cell: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield columns and rows with which pictures of that shape fill the grid, at any scale."""
    for rows in range(1, height // LEAST_PICTURE + 1):
        side = height / rows * cell[0] / cell[1]
        columns = max(round(width / side), 1)
        if width / columns < LEAST_PICTURE:
            continue
        if abs(width / columns - side) <= SIDE_OFF * max(1, cell[0] / cell[1]):
            yield columns, rows


def _votes(steps: np.ndarray, rows: GridAxis, columns: GridAxis) -> tuple[int, int]:
    """Return at how many places where two pictures of a column meet there is a seam, and at how many none."""
    places = [end for end, _ in rows.gaps(1.0)]
    return seams(steps, columns.count * columns.size, places, rows.size, columns, near=int(rows.size) - 4)
