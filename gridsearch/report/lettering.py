"""Words in pixels: Pillow's built-in scalable font, and text broken into lines that fit."""

from collections.abc import Iterator
from functools import cache

from PIL import ImageFont

from gridsearch.report.labels import one_line


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)


def wrap(text: str, width: float, size: int, lines: int) -> list[str]:
    """`text` broken into at most `lines` lines of `width` pixels; the last ends in … where some is left."""
    wrapped = list(_break(one_line(text), width, size))
    if len(wrapped) <= lines:
        return wrapped or [""]
    last = wrapped[lines - 1] + "…"
    while len(last) > 1 and font(size).getlength(last) > width:
        last = last[:-2].rstrip() + "…"
    return [*wrapped[: lines - 1], last]


def _break(text: str, width: float, size: int) -> Iterator[str]:
    """Lines broken between words, and inside a word that is wider than a line."""
    line = ""
    for word in text.split(" "):
        while font(size).getlength(word) > width and len(word) > 1:
            if line:
                yield line
                line = ""
            fits = max(1, int(len(word) * width / font(size).getlength(word)))
            while fits > 1 and font(size).getlength(word[:fits]) > width:
                fits -= 1
            yield word[:fits]
            word = word[fits:]
        joined = f"{line} {word}" if line else word
        if line and font(size).getlength(joined) > width:
            yield line
            joined = word
        line = joined
    if line:
        yield line
