"""The contact sheet: prompts down and ratios across, as one picture to look at and to send.

References come first; slices (epsilon, v_prediction) are side by side, each under its heading. A broken image
has a coloured frame and its verdict as a word. The recommended column is framed from heading to bottom. What
does not fit on one picture becomes an overview and pages (`sheet.pages`).
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw

from gridsearch.base.pictures import open_picture
from gridsearch.report.colours import text_on, verdict_colour
from gridsearch.report.grid import CaseRow, Grid, GridColumn, Picture, build_grid
from gridsearch.report.sheet.layout import (
    APART,
    GROUP_HEAD,
    LABEL,
    MARGIN,
    SheetLayout,
    first_held_out,
    first_of_prompt,
    head,
    lay_out,
)
from gridsearch.report.sheet.pages import Page, pages
from gridsearch.report.sheet.text import font, wrap
from gridsearch.report.thumbs import UNREADABLE, reduced
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

PAPER, INK, FAINT, LINE, EMPTY = "#ffffff", "#1c1f23", "#6b7280", "#d9dce1", "#f1f2f4"
ALIVE, DEAD, BEST = "#009e73", "#c3c7cd", "#0b5fa5"

HELD_OUT = "Held-out prompts: they had no part in the choice, and were rendered only for the leaders."
READERS = min(4, os.cpu_count() or 1)  # threads; Pillow releases Python's lock while it decodes

_Cells = dict[tuple[int, int, int], Image.Image | None]  # by group, column and row


def contact_sheet(
    results: Results,
    answer: Answer | None = None,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
) -> Image.Image:
    """Return the sheet, or its overview where there is too much for one picture."""
    return next(sheets(results, answer, ratios=ratios, prompts=prompts))


def sheets(
    results: Results,
    answer: Answer | None = None,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
) -> Iterator[Image.Image]:
    """Yield the sheet; where there is too much for one picture, an overview and then each page.

    Args:
        answer: frames the best column and marks the window.
        ratios, prompts: show only these; see `gridsearch.report.grid.build_grid`.
    """
    grid = build_grid(results, answer, ratios=ratios, prompts=prompts)
    image = image_size(grid, results)
    for page in pages(grid, image):
        yield _drawn(page, image, results, answer)


def _drawn(page: Page, image: tuple[int, int], results: Results, answer: Answer | None) -> Image.Image:
    grid, place = page.grid, lay_out(page.grid, image)
    cells = _cells(grid, place.cell, results.folder)
    sheet = Image.new("RGB", place.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, place, results.name, page.note, answer)
    for row, case in enumerate(grid.cases):
        _row_label(draw, place, row, case, first_of_prompt(grid, row))
        if first_held_out(grid, row):
            words = wrap(HELD_OUT, place.size[0] - 2 * MARGIN, 17, lines=1)[0]
            draw.text((MARGIN, place.top[row] - APART + 4), words, font=font(17), fill=FAINT)
    for g, group in enumerate(grid.groups):
        _group_heading(draw, place, g, group.heading)
        for c, column in enumerate(group.columns):
            _column_heading(draw, place, g, c, column)
            for row, case in enumerate(grid.cases):
                picture = column.pictures.get(case.id)
                box = place.box(g, c, row)
                _cell(sheet, draw, box, picture, cells.get((g, c, row)), column.why_missing(case))
            if column.best:
                _frame_best(draw, place, g, c)
    return sheet


# -- reading


def image_size(grid: Grid, results: Results) -> tuple[int, int]:
    """Return (width, height) of the first picture that can be read."""
    for picture in (p for column in grid.columns for p in column.pictures.values()):
        with suppress(*UNREADABLE):
            if path := path_in(results.folder, picture.file):
                with open_picture(path) as image:
                    return image.size
    return 128, 128


def _cells(grid: Grid, box: tuple[int, int], folder: Path) -> _Cells:
    """Return every picture of the grid at the size of its cell, read by several threads."""
    files = {
        (g, c, row): path_in(folder, picture.file)
        for g, group in enumerate(grid.groups)
        for c, column in enumerate(group.columns)
        for row, case in enumerate(grid.cases)
        if (picture := column.pictures.get(case.id))
    }
    with ThreadPoolExecutor(READERS) as pool:
        small = pool.map(lambda path: _small(path, box, folder), files.values())
        return dict(zip(files, small, strict=True))


def _small(path: Path | None, box: tuple[int, int], folder: Path) -> Image.Image | None:
    """Return the image as large as fits the box; None, for a hole in the sheet, where it cannot be read."""
    if path is None:
        return None
    try:
        image = reduced(path, box, folder)
    except UNREADABLE:
        return None
    scale = min(box[0] / image.width, box[1] / image.height)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


# -- drawing


def _title(
    draw: ImageDraw.ImageDraw, place: SheetLayout, name: str, note: str, answer: Answer | None
) -> None:
    large, words, leading = (round(size * place.scale) for size in (28, 16, 22))
    width = place.size[0] - 2 * MARGIN
    title = wrap(name, width * 0.6, large, lines=1)[0]
    draw.text((MARGIN, MARGIN - 4), title, font=font(large), fill=INK)
    beside = MARGIN + font(large).getlength(title) + large
    text = wrap(note, place.size[0] - MARGIN - beside, words, lines=1)[0]
    draw.text((beside, MARGIN - 4 + large), text, font=font(words), fill=FAINT, anchor="ls")
    if answer is None:
        return
    for i, line in enumerate(wrap(answer.sentence, width, words, lines=2)):
        y = MARGIN + round(36 * place.scale) + i * leading
        draw.text((MARGIN, y), line, font=font(words), fill=FAINT)


def _group_heading(draw: ImageDraw.ImageDraw, place: SheetLayout, group: int, heading: str) -> None:
    x, right = place.left[group][0], place.left[group][-1] + place.cell[0]
    y = head(place.scale)
    text = wrap(heading, max(right - x, 60), 22, lines=1)[0]
    draw.text((x, y), text, font=font(22), fill=INK)
    draw.line((x, y + GROUP_HEAD - 6, right, y + GROUP_HEAD - 6), fill=LINE, width=1)


def _column_heading(
    draw: ImageDraw.ImageDraw, place: SheetLayout, group: int, column: int, col: GridColumn
) -> None:
    width, x = place.cell[0], place.left[group][column]
    y = head(place.scale) + GROUP_HEAD
    colour = BEST if col.best else INK if col.alive else FAINT
    heading = f"{col.heading}  best" if col.best else col.heading
    draw.text((x, y), wrap(heading, width, 24, lines=1)[0], font=font(24), fill=colour)
    for i, line in enumerate(col.detail):
        draw.text((x, y + 31 + i * 18), wrap(line, width, 15, lines=1)[0], font=font(15), fill=FAINT)
    if not col.is_reference:  # a bar with the share of survivors
        draw.rectangle((x, y + 72, x + width - 1, y + 76), fill=EMPTY)
        if col.survived > 0:
            bar = ALIVE if col.alive else DEAD
            draw.rectangle((x, y + 72, x + max(1, round(col.survived * width)) - 1, y + 76), fill=bar)


def _row_label(draw: ImageDraw.ImageDraw, place: SheetLayout, row: int, case: CaseRow, first: bool) -> None:
    y, height = place.top[row], place.cell[1]
    if first and row:
        draw.line((MARGIN, y - 9, place.size[0] - MARGIN, y - 9), fill=LINE, width=1)
    lines = max((height - 24) // 21, 1)
    for i, line in enumerate(wrap(case.prompt, LABEL - 20, 17, lines) if first else []):
        draw.text((MARGIN, y + i * 21), line, font=font(17), fill=INK)
    draw.text((MARGIN, y + height - 18), f"seed {case.seed}", font=font(14), fill=FAINT)


def _cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    box: tuple,
    picture: Picture | None,
    image: Image.Image | None,
    missing: tuple[str, str],
) -> None:
    if image is None or picture is None:
        if picture or any(missing):
            _hole(draw, box, "file missing" if picture else ": ".join(filter(None, missing)))
        return
    width, height = box[2] - box[0], box[3] - box[1]
    sheet.paste(image, (box[0] + (width - image.width) // 2, box[1] + (height - image.height) // 2))
    if picture.verdict != "ok":
        _mark(draw, box, picture.verdict)


def _mark(draw: ImageDraw.ImageDraw, box: tuple, verdict: str) -> None:
    """Draw a frame outside the image, so that it hides no pixel, and a small tag in its corner."""
    colour = verdict_colour(verdict)
    draw.rectangle((box[0] - 3, box[1] - 3, box[2] + 2, box[3] + 2), outline=colour, width=3)
    size = 13 if box[2] - box[0] >= 90 else 10
    width = font(size).getlength(verdict)
    draw.rectangle((box[0], box[3] - size - 6, box[0] + width + 9, box[3] - 1), fill=colour)
    draw.text((box[0] + 4, box[3] - size - 5), verdict, font=font(size), fill=text_on(colour))


def _hole(draw: ImageDraw.ImageDraw, box: tuple, text: str) -> None:
    draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=EMPTY, outline=LINE)
    centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    lines = "\n".join(wrap(text, box[2] - box[0] - 12, 12, lines=max(2, (box[3] - box[1]) // 18)))
    draw.multiline_text(centre, lines, font=font(12), fill=FAINT, anchor="mm", align="center")


def _frame_best(draw: ImageDraw.ImageDraw, place: SheetLayout, group: int, column: int) -> None:
    left, _, right, bottom = place.box(group, column, len(place.top) - 1)
    top = head(place.scale) + GROUP_HEAD - 3
    draw.rounded_rectangle((left - 7, top, right + 6, bottom + 7), radius=6, outline=BEST, width=3)
