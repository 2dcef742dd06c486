"""Opening picture files from anywhere, within limits of size and memory.

A picture of a few kB can ask for gigabytes, so the memory it needs is worked out from its header before it
is decoded. Only three of Pillow's readers are used: some of the others start another program.
"""

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from gridsearch.base.errors import BadInput

READ_FORMATS = ("PNG", "JPEG", "WEBP")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_PICTURE_BYTES = 512 * 1024 * 1024
MAX_PIXELS = 64 * 1024 * 1024  # 8192 x 8192
DECODING_BYTES = 180_000_000  # that reading a picture may take, beside twice its file's size
# Of them per pixel: four of Pillow's and three of ours; then the decoder's, for a WebP two canvases and a
# frame, for a JPEG in several scans its coefficients.
PIXEL, WEBP_PIXEL, SCANNED_PIXEL = 8, 20, 14
MOST_SCANNED = 256 * 1024 * 1024  # pixels times scans of a JPEG, each a pass over all; ten are usual
TOO_LARGE_FIX = "Scale it down first."

# What Pillow's readers raise on damaged files, apart from OSError.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error)

# Of all texts in a PNG together, in characters of up to four bytes. Pillow's own 64 MB could be 256.
PngImagePlugin.MAX_TEXT_MEMORY = 16 * 1024 * 1024


@contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture file without decoding it; errors while it is decoded inside are BadInput too.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large.
    """
    try:
        size = _size_of_file(path)
        _require_small_canvas(path, size)
        with _Bounded(path) as file, Image.open(file, formats=READ_FORMATS) as picture:
            _require_decodable(path, picture, size)
            yield picture
    except FileNotFoundError:
        raise BadInput("There is no such picture.", where=path, fix="Check the path.") from None
    except UnidentifiedImageError:
        fix = f"Give one of {', '.join(READ_FORMATS)}."
        raise BadInput("This is not a picture.", where=path, fix=fix) from None
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from None
    except DAMAGED as error:
        why = str(error)[:200]
        raise BadInput("The picture cannot be read.", where=path, why=why, fix="Get a new copy.") from None


class _Bounded(io.BufferedReader):
    """A file that is never asked for more than is left: a damaged length would make Python reserve memory."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path))
        self._end = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(self._end - self.tell(), 0))
        return super().read(size)


def _size_of_file(path: str | Path) -> int:
    """Return the size of a file in bytes, and refuse pipes and devices, which would never end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput("This is not a picture.", where=path, why="It is not a file.")
    if found.st_size > MAX_PICTURE_BYTES:
        raise _too_large(path, f"{found.st_size:,} bytes, the limit is {MAX_PICTURE_BYTES:,}")
    return found.st_size


def _require_small_canvas(path: str | Path, size: int) -> None:
    """Refuse a WebP whose canvas is too large; Pillow allocates it as soon as it opens the file."""
    with open(path, "rb") as file:
        head = file.read(30)  # https://developers.google.com/speed/webp/docs/riff_container
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 30:
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        _require_pixels(path, width, height, WEBP_PIXEL, size)


def _require_decodable(path: str | Path, picture: Image.Image, size: int) -> None:
    width, height = picture.size
    scans = _scans(path) if picture.format == "JPEG" else 1
    each = WEBP_PIXEL if picture.format == "WEBP" else SCANNED_PIXEL if scans > 1 else PIXEL
    _require_pixels(path, width, height, each, size)
    if scans > 1 and scans * width * height > MOST_SCANNED:
        raise _too_large(path, f"its {width} x {height} pixels come in {scans:,} scans")


def _require_pixels(path: str | Path, width: int, height: int, bytes_each: int, size: int) -> None:
    most = min(MAX_PIXELS, (DECODING_BYTES + 2 * size) // bytes_each)
    if width * height > most:
        why = f"{width} x {height} pixels, the limit is {most:,} for a file of {size:,} bytes"
        raise _too_large(path, why)


def _scans(path: str | Path) -> int:
    """Return how many scan markers a JPEG has; within its data, each 0xFF is followed by 0."""
    found, last = 0, b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found += (last + block).count(b"\xff\xda")
            last = block[-1:] if block.endswith(b"\xff") else b""
    return found


def _too_large(path: str | Path, why: str) -> BadInput:
    return BadInput("The picture is too large.", where=path, why=why, fix=TOO_LARGE_FIX)
