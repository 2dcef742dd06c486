"""Thumbnails inside the report, and the hidden folder beside the images that keeps them.

The report is written again and again while a run goes on. A thumbnail is made once, and found again by the
name, time and size of its image's file. What is broken or missing in that folder is made again.
"""

import base64
import hashlib
import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.base.files import not_through_a_link, read_capped
from gridsearch.base.pictures import open_picture
from gridsearch.results.store.paths import KEPT

THUMBNAIL_BYTES = 15_000_000  # of a page: with plotly.js and films it stays under a mail's 25 MB
# longer side in px -> bytes of a square thumbnail as WebP in base64, measured on published SDXL grids
BYTES = {256: 16_400, 192: 10_300, 128: 5_300, 112: 4_300, 96: 3_400, 64: 1_700}
LONGEST_STRIP = 4096  # px, of a film strip: eight frames of five times their height
QUALITY, EFFORT = 82, 2  # of WebP
MIDDLE, FINE = 256, 95  # px, and JPEG's quality, of the middle size that thumbnails are made from
MOST_THREADS = 8
MOST_KEPT = 4_000_000  # bytes of a kept file: in a stranger's results folder there may be anything
UNREADABLE = (BadInput, OSError)  # not an image, damaged, too large, or gone

Box = tuple[int, int]  # (width, height) in px that a picture must fit


def thumbnail_side(images: int) -> int:
    """Return the largest longer side at which so many thumbnails fit a page."""
    return next((side for side, size in BYTES.items() if images * size <= THUMBNAIL_BYTES), min(BYTES))


@dataclass(frozen=True)
class Thumb:
    """A picture as a `data:` address, and its size in px."""

    uri: str
    width: int
    height: int

    def width_at(self, height: int) -> int:
        """Return its width when it is shown `height` px high."""
        return round(self.width * height / self.height)


def thumbnails(paths: Iterable[Path], side: int, folder: Path) -> dict[Path, Thumb | None]:
    """Return each image at most `side` px large; None where the file is gone or is not an image.

    Threads are enough: Pillow releases Python's lock while it decodes and scales.
    """
    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        return dict(zip(wanted, threads.map(partial(_thumb, (side, side), folder), wanted), strict=True))


def at_height(path: Path | None, height: int, folder: Path) -> Thumb | None:
    """Return the image at most `height` px high, as wide as a film strip may be; None as above."""
    return _thumb((LONGEST_STRIP, height), folder, path) if path else None


def reduced(path: Path, box: Box, folder: Path) -> Image.Image:
    """Return the image as RGB, at most as large as the box.

    Decoding a large image takes most of the time, so it is done once: small ones are made from a middle size
    that is kept.

    Raises:
        BadInput: the file is gone or is not an image.
    """
    with open_picture(path) as image:
        scale = min(box[0] / image.width, box[1] / image.height)
        if max(image.size) <= 2 * MIDDLE or max(image.size) * scale > MIDDLE:
            return _shrunk(image, box)
        kept = _place(path, f"{MIDDLE} {FINE}", folder).with_suffix(".jpg")
        middle = _kept_middle(kept)
        if middle is None:
            middle = _shrunk(image, (MIDDLE, MIDDLE), gap=1.0)
            buffer = io.BytesIO()
            middle.save(buffer, "JPEG", quality=FINE, subsampling=0)  # in a tenth of the time that WebP takes
            _keep(buffer.getvalue(), kept)
        return _shrunk(middle, box)


def _kept_middle(kept: Path) -> Image.Image | None:
    """Return a kept middle size; None where there is none, or half a file (JPEG marks its end)."""
    with suppress(*UNREADABLE):
        content = read_capped(kept, MOST_KEPT, "thumbnail")
        if content[:2] == b"\xff\xd8" and content[-2:] == b"\xff\xd9":
            with open_picture(kept) as image:
                return image.convert("RGB") if max(image.size) <= MIDDLE else None
    return None


def _shrunk(image: Image.Image, box: Box, gap: float = 2.0) -> Image.Image:
    """Return the image as RGB in the box; fast averaging leaves it `gap` times too large at first."""
    small = image.convert("RGB") if image.mode != "RGB" else image
    small.thumbnail(box, Image.Resampling.LANCZOS, gap)  # in place, without a copy of a large one
    small.load()
    return small


def _thumb(box: Box, folder: Path, path: Path) -> Thumb | None:
    with suppress(*UNREADABLE):
        kept = _place(path, f"{box} {QUALITY} {EFFORT}", folder).with_suffix(".webp")
        return _read(kept) or _made(path, box, folder, kept)
    return None


def _place(path: Path, what: str, folder: Path) -> Path:
    """Return where a thumbnail of this very file is kept; raises OSError where there is no such file."""
    found = path.stat()
    name = os.path.relpath(path, folder)
    key = f"{name}\0{found.st_mtime_ns}\0{found.st_size}\0{what}"
    return folder / KEPT / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _read(kept: Path) -> Thumb | None:
    """Return a kept thumbnail; None where there is none, or half a file (RIFF says how long it is)."""
    with suppress(*UNREADABLE):
        content = read_capped(kept, MOST_KEPT, "thumbnail")
        if int.from_bytes(content[4:8], "little") + 8 == len(content):
            with open_picture(kept) as image:
                return _as_thumb(content, image.size) if image.format == "WEBP" else None
    return None


def _made(path: Path, box: Box, folder: Path, kept: Path) -> Thumb:
    small = reduced(path, box, folder)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    _keep(buffer.getvalue(), kept)
    return _as_thumb(buffer.getvalue(), small.size)


def _keep(content: bytes, kept: Path) -> None:
    """Keep a file whole or not at all, even if two programs write it at once; a read-only folder is no error.

    It is not flushed to disk: what a crash leaves is recognised by its length, and made again.
    """
    part = kept.with_suffix(f".{os.getpid()}.part")
    try:
        kept.parent.mkdir(exist_ok=True)
        if kept.parent.is_symlink():
            return
        with open(part, "wb", opener=not_through_a_link) as file:
            file.write(content)
        os.replace(part, kept)
    except OSError:
        with suppress(OSError):
            part.unlink()


def _as_thumb(content: bytes, size: Box) -> Thumb:
    return Thumb("data:image/webp;base64," + base64.b64encode(content).decode("ascii"), *size)
