"""The shares of a picture at each size: large shapes, detail by its scale, and how evenly that is spread.

A picture of something has large shapes, sharp detail in some places and rest in others. Shards, texture
and noise have as much of everything everywhere.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from math import log, sqrt

import numpy as np

ACROSS, FINELY = 8, 16  # blocks, each way: of large shapes, and of what changes from block to block
STRAIGHT = 8  # pixels, over which an edge may be straight
LEAST_DETAIL = 0.1  # levels; less than this of anything is nothing
Plane = np.ndarray  # float32 (H, W)


def shapes(channels: Sequence[Plane]) -> float:
    """Share of the deviation that lies between the means of 8 × 8 blocks; 0 in a picture of one tone."""
    total = between = 0.0
    for plane in channels:
        between += float(pooled(plane, (plane.shape[0] // ACROSS, plane.shape[1] // ACROSS)).var())
        total += float(plane.var())
    return sqrt(between / (total + 0.5))


def roughness(plane: Plane) -> float:
    """The change of 16 × 16 blocks' means from one to the next, as a share of chance: 1 is no order at all.

    It is von Neumann's ratio (1941), halved and taken both ways.
    """
    rows, columns = min(FINELY, plane.shape[0]), min(FINELY, plane.shape[1])
    edge = plane.shape[0] // rows, plane.shape[1] // columns
    means = pooled(plane, edge).reshape(plane.shape[0] // edge[0], -1)[:rows, :columns]
    steps = [np.square(np.diff(means, axis=axis)).mean() if means.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    return float(sum(steps)) / (4 * float(means.var()) + 1)


def coherence(down: Plane, across: Plane) -> float:
    """The coherence of edges within 8 px: 1 is straight, 0 is any way (of the structure tensor)."""
    blocks = STRAIGHT, STRAIGHT
    vertical, horizontal, mixed = (pooled(p, blocks) for p in (down**2, across**2, down * across))
    return float(np.hypot(vertical - horizontal, 2 * mixed).sum() / ((vertical + horizontal).sum() + 1))


def spans(plane: Plane, reach: int) -> Plane:
    """The range of values in the square about each pixel, which reaches so far to each side."""
    return _extreme(np.maximum, plane, reach) - _extreme(np.minimum, plane, reach)


def _extreme(take: np.ufunc, plane: Plane, reach: int) -> Plane:
    """SciPy's filters take twice as long for small squares."""
    height, width = plane.shape
    padded = np.pad(plane, reach, "edge")
    down = reduce(take, (padded[row : row + height] for row in range(2 * reach + 1)))
    return reduce(take, (down[:, column : column + width] for column in range(2 * reach + 1)))


def energies(plane: Plane, levels: int) -> Iterator[np.ndarray]:
    """The squares of a Haar transform's details, summed over three directions: at 2 px, 4 px, 8 px, ...

    Each has half the size of the one before. A picture too small for a level has nothing there.
    """
    for _ in range(levels):
        if min(plane.shape) < 2:
            yield np.zeros((1, 1), np.float32)
            continue
        plane = plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2]
        upper, lower = plane[::2], plane[1::2]
        a, b, c, d = upper[:, ::2], upper[:, 1::2], lower[:, ::2], lower[:, 1::2]
        top, bottom, left, right = a + b, c + d, a - b, c - d
        yield ((top - bottom) ** 2 + (left + right) ** 2 + (left - right) ** 2) / 16
        plane = (top + bottom) / 4


def strength(energy: np.ndarray) -> float:
    """The details' root mean square, in levels."""
    return sqrt(energy.mean(dtype=np.float64))


def pooled(plane: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    """The means of blocks of so many rows and columns, flat; a thinner picture is one block."""
    height, width = max(min(block[0], plane.shape[0]), 1), max(min(block[1], plane.shape[1]), 1)
    rows, columns = plane.shape[0] // height, plane.shape[1] // width
    whole = plane[: rows * height, : columns * width]
    sums = whole.reshape(rows, height, columns * width).sum(
        axis=1
    )  # both ways at once takes six times as long
    return np.asarray(sums.reshape(rows * columns, width).sum(axis=1) / np.float32(height * width))


def quiet(blocks: np.ndarray) -> float:
    """The details' root mean square, in levels, in the quietest tenth of the blocks."""
    return sqrt(float(np.quantile(blocks, 0.1)))


def evenness(blocks: np.ndarray) -> float:
    """Logarithm of the blocks' geometric over arithmetic mean energy: 0 is the same everywhere."""
    small = LEAST_DETAIL**2
    return float(np.log(blocks + small).mean(dtype=np.float64)) - log(blocks.mean(dtype=np.float64) + small)


def sparseness(energy: np.ndarray) -> float:
    """Logarithm of the energies' mean square over squared mean: Gaussian noise has 0.5, lines have 4."""
    mean = float(energy.mean(dtype=np.float64))
    return log(
        (float(np.square(energy).mean(dtype=np.float64)) + LEAST_DETAIL**4) / (mean**2 + LEAST_DETAIL**4)
    )
