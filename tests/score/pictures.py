"""Pictures to score: drawn ones, and the cells of the published grids where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

GRIDS = Path(__file__).parents[3] / "shared" / "grids"
# Left to right: h healthy, b blank, g ghost, u burnt, f shards, n noise. From the README beside them.
LABELS = {"0001": "hbhuu", "0003": "hbhff", "0019": "bbbnfn", "0110": "hbbbu", "0124": "hbguf"}
REFERENCE = {"0001": 0, "0003": 0, "0110": 0, "0124": 0}
KEPT = {"0001": 2, "0003": 2}
HEIGHTS = (768, 832, 896, 1024, 1152, 1216, 1344)  # usual SDXL ones
BANDS = range(271, 330)  # heights of the label band above the cells

needs_grids = pytest.mark.skipif(not GRIDS.is_dir(), reason=f"no grids at {GRIDS}")


def scene(size, seed):
    """A drawn picture, uint8 (size, size, 3): a sky with a gradient, discs, bars, and a hatched patch.

    Everything is placed in shares of the side, outlines are one pixel soft, values stay in 25..230.
    """
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    canvas = rng.uniform(90, 170, 3) + (y[..., None] - 0.5) * rng.uniform(-90, 90, 3)
    for index in range(24):
        u, v, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.06, 0.2)
        disc = np.hypot(x - u, y - v) - radius
        bar = np.maximum(np.abs(x - u) - radius / 4, np.abs(y - v) - 2 * radius)
        inside = np.clip(0.5 - (disc if index % 2 else bar) * size, 0, 1)[..., None]
        tone = rng.uniform(25, 110, 3) if index % 4 < 2 else rng.uniform(145, 230, 3)
        canvas = canvas + inside * (tone + (y[..., None] - v) * 60 - canvas)
    hatched = (x < 0.3) & (y > 0.7) & ((x + y) * 24 % 1 < 0.5)
    return to_bytes(np.clip(canvas - 40 * hatched[..., None], 25, 230))


def to_bytes(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def gained(picture, gain):
    """Contrast about mid-grey times `gain`, clipped as a decoder clips."""
    return to_bytes(128 + gain * (picture.astype(np.float64) - 128))


def grey(plane):
    """(H, W) numbers to a grey picture, uint8 (H, W, 3)."""
    return np.repeat(to_bytes(plane)[..., None], 3, axis=2)


def cells(grid):
    """The cells of one grid, left to right, and their labels: [("h", uint8 (H, W, 3)), ...]."""
    (path,) = GRIDS.glob(f"xyz_grid-{grid}-*.jpg")
    width, height = (int(part) for part in path.stem.split("-")[3:5])
    with Image.open(path) as file:
        sheet = np.asarray(file.convert("RGB"))
    (band,) = (height - cell for cell in HEIGHTS if height - cell in BANDS)
    top = round(band * sheet.shape[1] / width) + 1  # one pixel in, for scaling mixes neighbours
    edges = np.linspace(0, sheet.shape[1], len(LABELS[grid]) + 1).round().astype(int)
    bounds = zip(LABELS[grid], edges, edges[1:], strict=False)
    return [(label, sheet[top:, left + 1 : right - 1]) for label, left, right in bounds]
