"""Text on sheets: Pillow's built-in scalable font, and breaking text into lines that fit."""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import islice

from PIL import ImageFont

from gridsearch.base.words import one_line


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font at a size in pixels."""
    return ImageFont.load_default(size=size)


def wrap(text: str, width: float, size: int, lines: int) -> list[str]:
    """Break `text` into at most `lines` lines of `width` pixels; the last ends in … if some is left."""
    wrapped = list(islice(_break(one_line(text), width, size), lines + 1))
    if len(wrapped) <= lines:
        return wrapped or [""]
    last = wrapped[lines - 1] + "…"
    while len(last) > 1 and font(size).getlength(last) > width:
        last = last[:-2].rstrip() + "…"
    return [*wrapped[: lines - 1], last]


def _break(text: str, width: float, size: int) -> Iterator[str]:
    """Yield lines broken between words, and inside words that are wider than a line."""
    line = ""
    for word in text.split(" "):
        while (fits := _fitting(word, width, size)) < len(word):
            if line:
                yield line
                line = ""
            yield word[:fits]
            word = word[fits:]
        joined = f"{line} {word}" if line else word
        if line and font(size).getlength(joined) > width:
            yield line
            joined = word
        line = joined
    if line:
        yield line


def _fitting(word: str, width: float, size: int) -> int:
    """Return how many letters of a word fit into a line: at least one, and at most one per pixel.

    More are not measured: a prompt may be one word of a hundred thousand letters.
    """
    counts = range(2, min(len(word), int(width)) + 1)
    return min(len(word), 1 + bisect_right(counts, width, key=lambda n: font(size).getlength(word[:n])))
