"""Small pictures that travel inside the report."""

import base64
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

ROOM = 18_000_000  # bytes for all thumbnails of a report: with plotly.js it stays under 25 MB, a mail's limit
# longer side in px -> bytes of a square one as WebP in base64, measured on published grids of SDXL renders
BYTES = {256: 16_400, 192: 10_300, 128: 5_300, 96: 3_400, 64: 1_700}

LONGEST = 4096  # px, of a film strip: eight frames of five times their height


def thumbnail_side(images: int) -> int:
    """The longer side of a thumbnail: the largest with which `images` of them find room."""
    return next((side for side, size in BYTES.items() if images * size <= ROOM), min(BYTES))


@dataclass(frozen=True)
class Thumb:
    """A picture as a `data:` address, and its size in px."""

    uri: str
    width: int
    height: int

    def width_at(self, height: int) -> int:
        """How wide it is where it is shown `height` px high."""
        return round(self.width * height / self.height)


def data_uri(path: Path, side: int) -> str | None:
    """The image as a `data:` address, at most `side` px; None where the file is gone or is no image."""
    thumb = _thumb(path, (side, side))
    return thumb and thumb.uri


def at_height(path: Path, height: int) -> Thumb | None:
    """The image at most `height` px high, be it as wide as a film strip; None as above."""
    return _thumb(path, (LONGEST, height))


def _thumb(path: Path, box: tuple[int, int]) -> Thumb | None:
    try:
        return _encoded(path, path.stat().st_mtime_ns, box)
    except OSError:  # Pillow's UnidentifiedImageError is one too
        return None


@lru_cache(maxsize=8192)  # a run writes its report again and again, with a few new images each time
def _encoded(path: Path, modified: int, box: tuple[int, int]) -> Thumb:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82, method=2)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumb(uri, *small.size)
