"""Pictures as programs write them: texts in a PNG's chunks, or in the EXIF data of a JPEG or WebP."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PIXELS = np.zeros((8, 8, 3), np.uint8)
EXIF, USER_COMMENT, MAKER_NOTE, MAKE, MODEL, SOFTWARE = 0x8769, 0x9286, 0x927C, 0x010F, 0x0110, 0x0131


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def png_with(path: Path, pixels: np.ndarray = PIXELS, /, **texts: object) -> Path:
    """A PNG with these chunks; what is no text becomes JSON."""
    info = PngInfo()
    for name, value in texts.items():
        info.add_text(name.replace("_in_", "-"), as_text(value))
    Image.fromarray(pixels).save(path, pnginfo=info)
    return path


def with_tags(
    path: Path, tags: dict[int, object], comment: bytes | None = None, pixels: np.ndarray = PIXELS
) -> Path:
    """A JPEG or WebP with these entries in EXIF's first directory, and a user comment in its own."""
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = as_text(value)
    if comment is not None:
        exif.get_ifd(EXIF)[USER_COMMENT] = comment
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def unicode_comment(value: object) -> bytes:
    return b"UNICODE\0" + as_text(value).encode("utf-16-be")
