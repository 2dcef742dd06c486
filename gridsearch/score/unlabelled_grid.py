"""The layout of a grid without labels, by the size of its pictures that its text tells.

The web UI puts the pictures of a batch, and an X/Y/Z grid without its legend, edge to edge (`image_grid` in
`modules/images.py`). Which boundaries are there is seen in the pixels, so a grid that was scaled is cut too.
"""

from collections.abc import Iterator

import numpy as np

from gridsearch.score.grid_axes import GridAxis, GridLayout, edges_of

LEAST_SIDE, LEAST_LANE = 32, 8  # pixels
MOST_LANES = 64  # of which each column of pictures has some
SIDE_OFF = 1.0  # pixels by which a scaled picture's side may be off
STANDS_OUT = 0.95  # share of the rows beside a boundary that differ less from the next than it does
TRUST_TOLD = 1 / 3  # for each boundary that is missed so many must be seen, for pictures may be much alike
FEW_MISSED = 3  # boundaries that may all be missed
TEXTURE = 1.0  # levels by which rows of a picture differ that is not flat


def unlabelled_layout(luma: np.ndarray, cell: tuple[int, int]) -> GridLayout | None:
    """Return the layout of a grid whose pictures lie edge to edge; None where its size fits no such grid.

    Args:
        luma: float (H, W).
        cell: (width, height) of its pictures before any scaling.
    """
    height, width = luma.shape
    as_told = (width / cell[0], height / cell[1])
    down, across = _steps(luma), _steps(luma.T)
    best, most, doubtful = None, 0, None
    for columns, rows in _shapes(width, height, cell):
        layout = GridLayout(GridAxis(0, width / columns, columns, 0), GridAxis(0, height / rows, rows, 0))
        votes = zip(_votes(down, layout.rows, columns), _votes(across, layout.columns, rows), strict=True)
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
    for rows in range(1, height // LEAST_SIDE + 1):
        side = height / rows * cell[0] / cell[1]
        columns = max(round(width / side), 1)
        if width / columns < LEAST_SIDE:
            continue
        if abs(width / columns - side) <= SIDE_OFF * max(1, cell[0] / cell[1]):
            yield columns, rows


def _steps(luma: np.ndarray) -> np.ndarray:
    """Return how much each row differs from the one above, in lanes of equal width, (lanes, H - 1)."""
    width = luma.shape[1]
    lanes = max(min(MOST_LANES, width // LEAST_LANE), 1)
    return edges_of(luma, GridAxis(0, width / lanes, lanes, 0), 1.0, 0)


def _votes(steps: np.ndarray, rows: GridAxis, columns: int) -> tuple[int, int]:
    """Return at how many places where two pictures of a column meet there is an edge, and at how many none.

    Where both pictures are flat and alike, nothing can be seen.
    """
    lanes = len(steps)
    first = np.unique(np.arange(columns) * lanes // columns)
    each = np.add.reduceat(steps, first, axis=0) / np.diff([*first, lanes])[:, None]
    seen = missed = 0
    reach = int(rows.size)
    for meeting, _ in rows.gaps(1.0):
        row = round(meeting) - 1
        here = each[:, row - 1 : row + 2].max(axis=1)
        beside = np.hstack([each[:, row - reach + 4 : row - 3], each[:, row + 4 : row + reach - 3]])
        out = (beside < here[:, None]).mean(axis=1) >= STANDS_OUT
        seen += int((out & (here > TEXTURE)).sum())
        missed += int((~out & (beside.max(axis=1) > TEXTURE)).sum())
    return seen, missed
