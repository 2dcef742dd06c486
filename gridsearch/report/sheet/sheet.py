"""The contact sheet: prompts down and ratios across, as one picture to look at and to send.

References come first; slices (epsilon, v_prediction) are side by side, each under its heading. A broken image
has a coloured frame and its verdict as a word. The recommended column is framed from heading to bottom. What
does not fit on one picture becomes an overview with pages beside it (`layout.pages`).
"""

import io
import os
import re
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.base.pictures import open_picture
from gridsearch.base.words import one_line
from gridsearch.report.cells import CaseRow, Grid, GridColumn
from gridsearch.report.colours import text_on, verdict_colour
from gridsearch.report.sheet import layout
from gridsearch.report.sheet.layout import MARGIN, Page, SheetLayout, head, lay_out, pages
from gridsearch.report.thumbs import UNREADABLE, reduced
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

PAPER, INK, FAINT, LINE, EMPTY = "#ffffff", "#1c1f23", "#6b7280", "#d9dce1", "#f1f2f4"
ALIVE, DEAD, BEST = "#009e73", "#c3c7cd", "#0b5fa5"

HELD_OUT = "Held-out prompts: they had no part in the choice, and were rendered only for the leaders."
LEGEND = (
    "A coloured frame and its word say how an image broke; the others are healthy. Bar: share of healthy "
    "images. Defect: distance from healthy, 0 is best. Blue: recommended. Grey: outside what survives."
)
HEADING = (24, 20, 17, 14)  # px of a column's heading: the largest that fits
READERS = min(4, os.cpu_count() or 1)  # threads; Pillow releases Python's lock while it decodes
# this level of PNG is three times as fast as the default one for 5% more bytes
SHEET_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 3},
    ".jpg": {"format": "JPEG", "quality": 92},
    ".jpeg": {"format": "JPEG", "quality": 92},
    ".webp": {"format": "WEBP", "quality": 90, "method": 2},
}

_Draw = ImageDraw.ImageDraw
_Box = tuple[int, int, int, int]  # left, top, right and bottom of a cell
_Cells = dict[tuple[int, int, int], Image.Image | None]  # by group, column and row


def write_sheets(grid: Grid, results: Results, answer: Answer | None, path: Path) -> list[Path]:
    """Write the sheet to `path`; if it is an overview, write its pages to NAME-1, NAME-2, ... beside it.

    Pages of an earlier sheet of that name are removed, but only from the results folder. Returns the files
    written, in order.

    Raises:
        BadInput: the format is not supported, or there is no such folder.
    """
    _require_picture(path)
    files: list[Future[Path]] = []
    with ThreadPoolExecutor(1) as writer:  # one is written while the next is drawn; no more are in memory
        for number, image in enumerate(sheets(grid, results, answer)):
            if files:
                files[-1].result()
            place = path.with_name(f"{path.stem}-{number}{path.suffix}") if number else path
            files.append(writer.submit(_write_picture, image, place))
    written = [file.result() for file in files]
    if path.parent.resolve() == results.folder.resolve():
        page = re.compile(rf"{re.escape(path.stem)}-[1-9]\d*{re.escape(path.suffix)}")
        for file in path.parent.iterdir():
            if page.fullmatch(file.name) and file not in written:
                file.unlink()
    return written


def _require_picture(path: Path) -> None:
    if path.suffix.lower() not in SHEET_FORMATS:
        better = path.with_suffix(".png").name if path.name else "sheet.png"
        fix = f"Use -o {better}, for example."
        raise BadInput("A sheet is written as .png, .jpg or .webp.", where=path, fix=fix)
    if not path.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=path.parent, fix="Create it first.")


def _write_picture(image: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    image.save(buffer, **SHEET_FORMATS[path.suffix.lower()])
    write_atomic(path, buffer.getvalue())
    return path


def sheets(grid: Grid, results: Results, answer: Answer | None = None) -> Iterator[Image.Image]:
    """Yield the sheet, with the answer on top; where it is too large, an overview and then each page."""
    image = image_size(grid, results)
    for page in pages(grid, image):
        yield _drawn(page, lay_out(page.grid, image), results, answer)


def _drawn(page: Page, place: SheetLayout, results: Results, answer: Answer | None) -> Image.Image:
    grid = page.grid
    cells = _cells(grid, place.cell, results.folder)
    sheet = Image.new("RGB", place.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, place, results.name, page.note, answer)
    for row, case in enumerate(grid.cases):
        _row_label(draw, place, row, case, grid.first_of_prompt(row))
        if grid.first_held_out(row):
            words = wrap(HELD_OUT, place.size[0] - 2 * MARGIN, 17, lines=1)[0]
            draw.text((MARGIN, place.top[row] - layout.APART + 4), words, font=font(17), fill=FAINT)
    for g, group in enumerate(grid.groups):
        x, right, y = place.left[g][0], place.left[g][-1] + place.cell[0], head(place.scale)
        heading = wrap(group.heading, max(right - x, 60), 22, lines=1)[0]
        draw.text((x, y), heading, font=font(22), fill=INK)
        y += layout.GROUP_HEAD - 6
        draw.line((x, y, right, y), fill=LINE, width=1)
        for c, column in enumerate(group.columns):
            _column_heading(draw, place, place.left[g][c], column)
            for row, case in enumerate(grid.cases):
                _cell(sheet, draw, place.box(g, c, row), column, case, cells.get((g, c, row)))
            if column.best:
                left, _, right, bottom = place.box(g, c, len(grid.cases) - 1)
                frame = left - 7, head(place.scale) + layout.GROUP_HEAD - 3, right + 6, bottom + 7
                draw.rounded_rectangle(frame, radius=6, outline=BEST, width=3)
    return sheet


def image_size(grid: Grid, results: Results) -> tuple[int, int]:
    """Return (width, height) of the first picture that can be read."""
    for picture in (p for column in grid.columns for p in column.pictures.values()):
        with suppress(*UNREADABLE):
            if path := path_in(results.folder, picture.file):
                with open_picture(path) as image:
                    return image.size
    return 128, 128


def _cells(grid: Grid, size: tuple[int, int], folder: Path) -> _Cells:
    """Return every picture of the grid at the size of its cell, read by several threads."""
    files = {
        (g, c, row): path_in(folder, picture.file)
        for g, group in enumerate(grid.groups)
        for c, column in enumerate(group.columns)
        for row, case in enumerate(grid.cases)
        if (picture := column.pictures.get(case.id))
    }
    with ThreadPoolExecutor(READERS) as pool:
        small = pool.map(lambda path: _small(path, size, folder), files.values())
        return dict(zip(files, small, strict=True))


def _small(path: Path | None, size: tuple[int, int], folder: Path) -> Image.Image | None:
    """Return the image as large as fits the size; None, for a hole in the sheet, where it cannot be read."""
    if path is None:
        return None
    try:
        image = reduced(path, size, folder)
    except UNREADABLE:
        return None
    scale = min(size[0] / image.width, size[1] / image.height)
    fitting = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image if fitting == image.size else image.resize(fitting, Image.Resampling.LANCZOS)


def _title(draw: _Draw, place: SheetLayout, name: str, note: str, answer: Answer | None) -> None:
    large, words, leading = (round(size * place.scale) for size in (28, 16, 22))
    width = place.size[0] - 2 * MARGIN
    title = wrap(name, width * 0.6, large, lines=1)[0]
    draw.text((MARGIN, MARGIN - 4), title, font=font(large), fill=INK)
    beside = MARGIN + font(large).getlength(title) + large
    text = wrap(note, place.size[0] - MARGIN - beside, words, lines=1)[0]
    draw.text((beside, MARGIN - 4 + large), text, font=font(words), fill=FAINT, anchor="ls")
    lines = wrap(answer.sentence, width, words, lines=2) if answer else []
    for i, line in enumerate([*lines, *wrap(LEGEND, width, words, lines=2)]):
        y = MARGIN + round(36 * place.scale) + i * leading
        draw.text((MARGIN, y), line, font=font(words), fill=FAINT)


def _column_heading(draw: _Draw, place: SheetLayout, x: int, column: GridColumn) -> None:
    width, y = place.cell[0], head(place.scale) + layout.GROUP_HEAD
    colour = BEST if column.best else INK if column.alive else FAINT
    heading = f"{column.heading}  best" if column.best else column.heading
    heading = heading if font(HEADING[0]).getlength(heading) <= width else column.heading  # it is framed too
    size = next((one for one in HEADING if font(one).getlength(heading) <= width), HEADING[-1])
    draw.text(
        (x, y + HEADING[0] - size), wrap(heading, width, size, lines=1)[0], font=font(size), fill=colour
    )
    for i, line in enumerate(column.detail):
        draw.text((x, y + 31 + i * 18), wrap(line, width, 15, lines=1)[0], font=font(15), fill=FAINT)
    if not column.is_reference:  # a bar with the share of survivors
        draw.rectangle((x, y + 72, x + width - 1, y + 76), fill=EMPTY)
        if column.survived > 0:
            right = x + max(1, round(column.survived * width)) - 1
            draw.rectangle((x, y + 72, right, y + 76), fill=ALIVE if column.alive else DEAD)


def _row_label(draw: _Draw, place: SheetLayout, row: int, case: CaseRow, first: bool) -> None:
    y, height = place.top[row], place.cell[1]
    if first and row:
        draw.line((MARGIN, y - 9, place.size[0] - MARGIN, y - 9), fill=LINE, width=1)
    lines = max((height - 24) // 21, 1)
    for i, line in enumerate(wrap(case.label, layout.LABEL - 20, 17, lines) if first else []):
        draw.text((MARGIN, y + i * 21), line, font=font(17), fill=INK)
    if case.setting:
        middle = MARGIN + layout.LABEL - 20, y + height / 2
        words = wrap(case.setting, layout.LABEL / 2, 20, lines=1)[0]
        draw.text(middle, words, font=font(20), fill=INK, anchor="rm")
    if first or not case.setting:
        draw.text((MARGIN, y + height - 18), f"seed {case.seed}", font=font(14), fill=FAINT)


def _cell(
    sheet: Image.Image, draw: _Draw, box: _Box, column: GridColumn, case: CaseRow, image: Image.Image | None
) -> None:
    left, top, right, bottom = box
    picture, missing = column.pictures.get(case.id), column.why_missing(case)
    if image is None or picture is None:
        if picture or any(missing):
            _hole(draw, box, "file missing" if picture else ": ".join(filter(None, missing)))
        return
    sheet.paste(image, (left + (right - left - image.width) // 2, top + (bottom - top - image.height) // 2))
    if picture.best:
        draw.rounded_rectangle((left - 8, top - 8, right + 7, bottom + 7), radius=6, outline=BEST, width=5)
        draw.rectangle((left, top, left + font(13).getlength("best") + 9, top + 19), fill=BEST)
        draw.text((left + 4, top + 1), "best", font=font(13), fill=text_on(BEST))
    if picture.verdict != "ok":  # a frame outside the image hides no pixel; a small tag is in its corner
        colour, size = verdict_colour(picture.verdict), 13 if right - left >= 90 else 10
        draw.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=colour, width=3)
        word = f"itself {picture.verdict}" if column.is_reference else picture.verdict
        end = left + font(size).getlength(word) + 9
        draw.rectangle((left, bottom - size - 6, end, bottom - 1), fill=colour)
        draw.text((left + 4, bottom - size - 5), word, font=font(size), fill=text_on(colour))


def _hole(draw: _Draw, box: _Box, text: str) -> None:
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), fill=EMPTY, outline=LINE)
    lines = "\n".join(wrap(text, right - left - 12, 12, lines=max(2, (bottom - top) // 18)))
    centre = (left + right) / 2, (top + bottom) / 2
    draw.multiline_text(centre, lines, font=font(12), fill=FAINT, anchor="mm", align="center")


# -- text


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font at a size in pixels."""
    return ImageFont.load_default(size=size)


# Signs of this program's own that the font has no letters for.
IN_FONT = str.maketrans({"–": "-", "—": "-", "×": "x", "≤": "<=", "≥": ">="})


def wrap(text: str, width: float, size: int, lines: int) -> list[str]:
    """Break `text` into at most `lines` lines of `width` pixels; the last ends in … if some is left."""
    wrapped = list(islice(_break(one_line(text).translate(IN_FONT), width, size), lines + 1))
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
