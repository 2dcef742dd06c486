"""The texts that programs leave in picture files: a PNG's chunks, and EXIF data."""

import warnings
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from gridsearch.base.pictures import PICTURE_SUFFIXES, open_picture

TEXT_SUFFIXES = tuple(suffix for suffix in PICTURE_SUFFIXES if suffix != ".bmp")  # a BMP holds no text

EXIF, USER_COMMENT = 0x8769, 0x9286  # tags of the text in JPEG, WebP and AVIF
# EXIF's other texts in which programs leave how a picture was made, by their names in the standard.
_TAGS = {0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software", 0x927C: "MakerNote"}


def embedded_texts(path: Path) -> dict[str, str]:
    """Return all texts in a picture: a PNG's by their keywords, those in EXIF data by the standard's names.

    They may be long. The pixels are decoded only in a PNG without any text before them.

    Raises:
        BadInput: no such file, not a picture, damaged or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pixels
        with open_picture(path) as file:
            texts = texts_in(file)
            if file.format == "PNG" and not texts:
                file.load()  # chunks behind the pixels are read with them
                texts = texts_in(file)
    return texts


def main_text(texts: Mapping[str, str]) -> str:
    """Return A1111's text, where most other programs have theirs, too; empty without any."""
    return texts.get("parameters") or texts.get("UserComment", "")


def texts_in(file: Image.Image) -> dict[str, str]:
    """Return the texts of an opened picture; of a PNG those before the pixels, until they are loaded."""
    chunks = {str(name): str(text) for name, text in file.info.items() if isinstance(text, str)}
    texts = _exif_texts(file.info.get("exif", b"")) | chunks
    return {name: text for name, text in texts.items() if text}


def _exif_texts(data: bytes) -> dict[str, str]:
    """Return the texts in EXIF data; Fooocus puts the user comment in the first directory, not in its own."""
    exif = Image.Exif()
    exif.load(data)
    comment = exif.get_ifd(EXIF).get(USER_COMMENT) or exif.get(USER_COMMENT) or b""
    texts = {name: exif.get(tag) for tag, name in _TAGS.items()}
    found = {name: text for name, text in texts.items() if isinstance(text, str)}
    return found | {"UserComment": _user_comment(comment)}


def _user_comment(comment: object) -> str:
    """Return the text of a user comment: eight bytes name the encoding, the text follows."""
    if not isinstance(comment, bytes):
        return str(comment)
    code, text = comment[:8].rstrip(b"\0"), comment[8:]
    if code == b"UNICODE":
        # A1111 writes the high byte first; some other programs write it last
        little = text[1::2].count(0) > text[0::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0\ufeff")
    if code in (b"ASCII", b""):
        return text.decode("utf-8", "replace").strip("\0")
    return comment.decode("utf-8", "replace").strip("\0")
