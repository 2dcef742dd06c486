"""Opening picture files from anywhere, within limits of size and memory.

A picture of a few kB can ask for gigabytes, so its size is read from its header before it is decoded. All
formats have one limit, MAX_PIXELS, whatever the size of the file: half an empty grid is a small file too. So
the most that a small file can take is MAX_PIXELS times what its decoder needs for a pixel: with the array
that is made of it 8 bytes (PNG, JPEG, BMP), 10 (a JPEG in several scans), 11 (AVIF) or 16 (WebP, two canvases
and a frame), so up to 1.1 GB; and large pictures are decoded one at a time. An AVIF whose frame is larger
than its header says is bounded by libavif alone, at 16,384 x 16,384 pixels. Only five of Pillow's readers are
used: some of the others start another program.
"""

import io
import os
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError, features

from gridsearch.base.errors import BadInput
from gridsearch.base.files import near_name

READ_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp")
MAX_PICTURE_BYTES = 512 * 1024 * 1024
MAX_PIXELS = 64 * 1024 * 1024  # 8192 x 8192
LARGE_PIXELS = 9 * 1024 * 1024  # more are decoded one at a time, by however many threads
MOST_SCANNED = 16 * MAX_PIXELS  # pixels times scans of a JPEG, each a pass over all; ten are usual
TOO_LARGE_FIX = "Scale it down first."

# What Pillow's readers raise on damaged files, apart from OSError; RuntimeError is AVIF's.
DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, RuntimeError),
    *(struct.error, zlib.error),
)

_LARGE = threading.RLock()

# Of all texts in a PNG together, in characters of up to four bytes. Pillow's own 64 MB could be 256.
PngImagePlugin.MAX_TEXT_MEMORY = 16 * 1024 * 1024


@contextmanager
def open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture file without decoding it; errors while it is decoded inside are BadInput too.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large.
    """
    try:
        _require_small_file(path)
        _require_openable(path)
        with _Bounded(path) as file, Image.open(file, formats=READ_FORMATS) as picture:
            _require_decodable(path, picture)
            with _LARGE if picture.width * picture.height > LARGE_PIXELS else nullcontext():
                yield picture
    except FileNotFoundError:
        raise BadInput(
            "There is no such picture.", where=path, fix=near_name(Path(path)) or "Check the path."
        ) from None
    except UnidentifiedImageError:
        fix = f"Give one of {', '.join(READ_FORMATS)}."
        raise BadInput("This is not a picture of a known format.", where=path, fix=fix) from None
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


def _require_small_file(path: str | Path) -> None:
    """Refuse large files, and pipes and devices, which would never end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise BadInput("This is not a picture.", where=path, why="It is not a file.")
    if found.st_size == 0:
        raise BadInput("This is not a picture.", where=path, why="The file is empty.", fix="Get a new copy.")
    if found.st_size > MAX_PICTURE_BYTES:
        raise _too_large(path, f"{found.st_size:,} bytes, the limit is {MAX_PICTURE_BYTES:,}")


def _require_openable(path: str | Path) -> None:
    """Refuse a WebP of too many pixels, for which Pillow makes room at once, and AVIF without a decoder."""
    with open(path, "rb") as file:
        head = file.read(30)
    if size := _webp_size(head):
        _require_pixels(path, *size)
    if head[4:12] in (b"ftypavif", b"ftypavis") and not features.check("avif"):
        why = "The installed Pillow was built without AVIF."
        fix = "Install Pillow 11.3 or later from its wheel, or convert the picture to PNG."
        raise BadInput("AVIF pictures cannot be read here.", where=path, why=why, fix=fix)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Return the size in the first 30 bytes of a WebP: https://developers.google.com/speed/webp/docs.

    None for another format, or a damaged head.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<2H", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _require_decodable(path: str | Path, picture: Image.Image) -> None:
    width, height = picture.size
    _require_pixels(path, width, height)
    scans = _scans(path) if picture.format in ("JPEG", "MPO") else 1
    if scans > 1 and scans * width * height > MOST_SCANNED:
        raise _too_large(path, f"its {width} x {height} pixels come in {scans:,} scans")


def _require_pixels(path: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width} x {height} pixels, the limit is {MAX_PIXELS:,}")


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
