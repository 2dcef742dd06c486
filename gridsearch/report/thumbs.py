"""Small pictures that travel inside the report."""

import base64
import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

ROOM = 18_000_000  # bytes for all thumbnails of a report: with plotly.js it stays under 25 MB, a mail's limit
# longer side in px -> bytes of a square one as WebP in base64, measured on published grids of SDXL renders
BYTES = {256: 16_400, 192: 10_300, 128: 5_300, 96: 3_400, 64: 1_700}


def thumbnail_side(images: int) -> int:
    """The longer side of a thumbnail: the largest with which `images` of them find room."""
    return next((side for side, size in BYTES.items() if images * size <= ROOM), min(BYTES))


def data_uri(path: Path, side: int) -> str | None:
    """The image as a `data:` address, at most `side` px; None where the file is gone or is no image."""
    try:
        return _encoded(path, path.stat().st_mtime_ns, side)
    except OSError:  # Pillow's UnidentifiedImageError is one too
        return None


@lru_cache(maxsize=8192)  # a run writes its report again and again, with a few new images each time
def _encoded(path: Path, modified: int, side: int) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
