"""Picture files from anywhere: which are opened at all, and how large they may be.

A picture of a few kB can ask for gigabytes, so how much it will take is told from its head, before it is
decoded. Of Pillow's readers three are used: among the others are some that start another program.
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
MAX_PICTURE_BYTES = 512 * 1024 * 1024  # of a file
MAX_PIXELS = 64 * 1024 * 1024  # 8192 x 8192
DECODING_BYTES = (
    180_000_000  # bytes that any picture may take while it is read, and twice its file's size beside them
)
# of them per pixel: Pillow's four and our three; then what the decoder holds, of a WebP two canvases and a
# frame, of a JPEG in several scans its coefficients
PIXEL, WEBP_PIXEL, SCANNED_PIXEL = 8, 20, 14
MOST_SCANNED = 256 * 1024 * 1024  # pixels times scans of a JPEG, each a pass over all; ten are usual
TOO_LARGE_FIX = "Scale it down first."

# What Pillow's readers raise on damaged files, apart from OSError.
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error)

# Of all texts in a PNG together, in characters of up to four bytes. Pillow's own 64 MB could be 256.
PngImagePlugin.MAX_TEXT_MEMORY = 16 * 1024 * 1024


@contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """A picture file, opened and not yet decoded. What goes wrong while it is decoded is named here too.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large.
    """
    try:
        size = _size_of_file(path)
        _require_small_canvas(path, size)
        with _Bounded(path) as file, Image.open(file, formats=READ_FORMATS) as picture:
            _require_room(path, picture, size)
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
        raise BadInput("The picture cannot be read.", where=path, why=why, fix="Get it anew.") from None


class _Bounded(io.BufferedReader):
    """A file of which no more is asked than is left: memory is taken first for what a damaged length asks."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path))
        self._end = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(self._end - self.tell(), 0))
        return super().read(size)


def _size_of_file(path: str | Path) -> int:
    """In bytes. A pipe or a device would never end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput("This is not a picture.", where=path, why="It is no file.")
    if found.st_size > MAX_PICTURE_BYTES:
        raise _too_large(path, f"{found.st_size:,} bytes, the limit is {MAX_PICTURE_BYTES:,}")
    return found.st_size


def _require_small_canvas(path: str | Path, size: int) -> None:
    """Pillow makes a WebP's canvases when it opens the file, so they are looked at before.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    with open(path, "rb") as file:
        head = file.read(30)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 30:
        sides = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        _require_pixels(path, *sides, WEBP_PIXEL, size)


def _require_room(path: str | Path, picture: Image.Image, size: int) -> None:
    width, height = picture.size
    if picture.format == "WEBP":
        _require_pixels(path, width, height, WEBP_PIXEL, size)
    elif picture.format == "PNG":
        _require_pixels(path, width, height, PIXEL, size)
    else:
        scans = _scans(path)
        _require_pixels(path, width, height, SCANNED_PIXEL if scans > 1 else PIXEL, size)
        if scans * width * height > MOST_SCANNED:
            raise _too_large(path, f"its {width} x {height} pixels come in {scans:,} scans")


def _require_pixels(path: str | Path, width: int, height: int, bytes_each: int, size: int) -> None:
    most = min(MAX_PIXELS, (DECODING_BYTES + 2 * size) // bytes_each)
    if width * height > most:
        why = f"{width} x {height} pixels, the limit is {most:,} for a file of {size:,} bytes"
        raise _too_large(path, why)


def _scans(path: str | Path) -> int:
    """How often the marker of a scan stands in a JPEG; in its data each 0xFF is followed by 0."""
    found, last = 0, b""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found += (last + block).count(b"\xff\xda")
            last = block[-1:] if block.endswith(b"\xff") else b""
    return found


def _too_large(path: str | Path, why: str) -> BadInput:
    return BadInput("The picture is too large.", where=path, why=why, fix=TOO_LARGE_FIX)
