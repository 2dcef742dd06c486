"""Pictures to score: drawn ones, and the cells of the published grids where they are at hand."""

import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from gridsearch.score.measure import read_image
from gridsearch.score.xyz_grid import cut_grid
from tests.helpers.web_ui_grids import annotated

# Beside this repository, or beside the folder that holds its worktrees.
_PLACES = [folder / "shared" / "grids" for folder in Path(__file__).parents[3:5]]
GRIDS = next((place for place in _PLACES if place.is_dir()), _PLACES[0])
# Left to right: h healthy, b blank, g ghost, u burnt, f shards, n noise. From the README beside them.
LABELS = {"0001": "hbhuu", "0003": "hbhff", "0019": "bbbnfn", "0110": "hbbbu", "0124": "hbguf"}
REFERENCE = {"0001": 0, "0003": 0, "0110": 0, "0124": 0}
KEPT = {"0001": 2, "0003": 2}

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
        tone = rng.uniform(25, 110, 3) if index % 4 < 2 else rng.uniform(145, 230, 3)
        width, height = (radius, radius) if index % 2 else (radius / 4, 2 * radius)
        box = _box(v, height, size), _box(u, width, size)  # outside it the shape changes nothing
        dx, dy = x[box] - u, y[box] - v
        distance = np.hypot(dx, dy) - radius if index % 2 else np.maximum(abs(dx) - width, abs(dy) - height)
        inside = np.clip(0.5 - distance * size, 0, 1)[..., None]
        canvas[box] += inside * (tone + dy[..., None] * 60 - canvas[box])
    hatched = (x < 0.3) & (y > 0.7) & ((x + y) * 24 % 1 < 0.5)
    return to_bytes(np.clip(canvas - 40 * hatched[..., None], 25, 230))


def _box(centre, reach, size):
    """The pixels along one axis that a shape, with its soft outline, may touch."""
    return slice(max(int((centre - reach) * size) - 2, 0), max(int((centre + reach) * size) + 3, 0))


def to_bytes(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def gained(picture, gain):
    """Contrast about mid-grey times `gain`, clipped as a decoder clips."""
    return to_bytes(128 + gain * (picture.astype(np.float64) - 128))


def grey(plane):
    """(H, W) numbers to a grey picture, uint8 (H, W, 3)."""
    return np.repeat(to_bytes(plane)[..., None], 3, axis=2)


@cache
def cells(grid):
    """The cells of one published grid, left to right, and their labels: (("h", uint8 (H, W, 3)), ...)."""
    (path,) = GRIDS.glob(f"xyz_grid-{grid}-*.jpg")
    found = cut_grid(read_image(path), path)
    return tuple((label, cell.rgb) for label, cell in zip(LABELS[grid], found, strict=True))


def drawn_grid(pictures, margin=0, row_labels=True, column_labels=("a-55.safetensors [57a96b981e]",)):
    """Rows of pictures, uint8 (H, W, 3) each of one size, put together as AUTOMATIC1111's web UI does.

    Returns:
        The grid, and where each picture lies: {(row, column): (left, top, right, bottom)}.
    """
    columns = [column_labels[column % len(column_labels)] for column in range(len(pictures[0]))]
    rows = [f"CFG: {row + 4.5}" if row_labels else "" for row in range(len(pictures))]
    return annotated([list(map(Image.fromarray, line)) for line in pictures], columns, rows, margin)


def with_z_axis(sheets, titles):
    """Grids of one size side by side, each below its title, as AUTOMATIC1111's web UI puts them.

    Returns:
        The grid, and where in it each of the others lies: [(left, top), ...].
    """
    width, height = sheets[0].size
    letters = (width + height) // 25
    band = letters + 2 * (letters // 2)
    whole = Image.new("RGB", (len(sheets) * width, band + height), "white")
    draw = ImageDraw.Draw(whole)
    for z, (sheet, title) in enumerate(zip(sheets, titles, strict=True)):
        whole.paste(sheet, (z * width, band))
        font = ImageFont.load_default(letters)
        draw.text((z * width + width / 2, band / 2), title, "black", font, anchor="mm")
    return whole, [(z * width, band) for z in range(len(sheets))]


def png(width, height, bits, colour_type, rows):
    """A PNG built by hand, for the kinds that Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_sums(content):
    """A PNG with the right check sums again, so that the damage is looked at; other files as they are."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return content
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", content, end, zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return content
