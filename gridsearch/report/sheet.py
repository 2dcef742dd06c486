"""The contact sheet: prompts down, ratios across, as one picture to look at and to send.

References stand first; slices (epsilon, v_prediction) stand side by side, each under its heading. A healthy
image is left alone; a broken one has a coloured frame and its verdict as a word. The recommended column is
framed from heading to bottom.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from gridsearch.report.answer import Answer
from gridsearch.report.grid import Case, Column, Grid, Picture, build_grid
from gridsearch.report.labels import text_on, verdict_colour
from gridsearch.report.lettering import font, wrap
from gridsearch.report.links import within
from gridsearch.report.results import Results

PAPER, INK, FAINT, LINE, EMPTY = "#ffffff", "#1c1f23", "#6b7280", "#d9dce1", "#f1f2f4"
ALIVE, DEAD, BEST = "#009e73", "#c3c7cd", "#0b5fa5"

MARGIN, GAP, GROUP_GAP, LABEL = 32, 10, 36, 230  # px: around, between cells, between groups, row labels
COLUMN_HEAD, GROUP_HEAD, APART = 86, 40, 44
HELD_OUT = "Prompts kept apart: they had no part in the choice, and only the leaders were drawn of them."
MOST_PIXELS = 48_000_000  # under Pillow's decompression-bomb warning; a larger run gets smaller cells
SMALLEST_CELL = 40


@dataclass(frozen=True)
class Layout:
    """Where everything stands, in pixels.

    Attributes:
        cell: (width, height) of every cell.
        left: per group, the x of each of its columns.
        top: the y of each row of cells.
        size: of the whole sheet.
        scale: of the title's band, which grows with the sheet, to be read when the sheet is shrunk.
    """

    cell: tuple[int, int]
    left: tuple[tuple[int, ...], ...]
    top: tuple[int, ...]
    size: tuple[int, int]
    scale: float

    def box(self, group: int, column: int, row: int) -> tuple[int, int, int, int]:
        x, y = self.left[group][column], self.top[row]
        return x, y, x + self.cell[0], y + self.cell[1]


def contact_sheet(
    results: Results,
    answer: Answer | None = None,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
    cell: int | None = None,
) -> Image.Image:
    """Draw the sheet.

    Args:
        answer: frames the best column and marks the window.
        ratios, prompts: show only these; see `gridsearch.report.grid.build_grid`.
        cell: longer side of a cell in pixels; chosen by the images and their number where not given.
    """
    grid = build_grid(results, answer, ratios=ratios, prompts=prompts)
    place = lay_out(grid, _image_size(grid, results), cell)
    sheet = Image.new("RGB", place.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _title(draw, place, results, answer)
    for row, case in enumerate(grid.cases):
        _row_label(draw, place, row, case, _first_of_prompt(grid, row))
        if _first_held_out(grid, row):
            words = wrap(HELD_OUT, place.size[0] - 2 * MARGIN, 17, lines=1)[0]
            draw.text((MARGIN, place.top[row] - APART + 4), words, font=font(17), fill=FAINT)
    for g, group in enumerate(grid.groups):
        _group_heading(draw, place, g, group.heading)
        for c, column in enumerate(group.columns):
            _column_heading(draw, place, g, c, column)
            for row, case in enumerate(grid.cases):
                picture = column.pictures.get(case.key)
                _cell(sheet, draw, place.box(g, c, row), picture, column.why_missing(case), results)
            if column.best:
                _frame_best(draw, place, g, c)
    return sheet


def lay_out(grid: Grid, image: tuple[int, int], cell: int | None = None) -> Layout:
    """Place the cells; `image` is the rendered size, which gives the cells their shape."""
    columns = sum(len(group.columns) for group in grid.groups)
    if cell is None:
        # few columns may be large; small images are enlarged three times at most
        cell = min(max(2000 // columns, 128), 256, max(128, 3 * max(image)))
    place = _place(grid, image, cell)
    while place.size[0] * place.size[1] > MOST_PIXELS and cell > SMALLEST_CELL:
        cell = max(SMALLEST_CELL, int(cell * 0.9))
        place = _place(grid, image, cell)
    return place


def _place(grid: Grid, image: tuple[int, int], cell: int) -> Layout:
    width, height = (max(1, round(side * cell / max(image))) for side in image)
    x, left = MARGIN + LABEL, []
    for group in grid.groups:
        left.append(tuple(x + i * (width + GAP) for i in range(len(group.columns))))
        x = left[-1][-1] + width + GROUP_GAP
    right = max(x - GROUP_GAP, MARGIN + 640)
    scale = min(max(right / 1600, 1.0), 2.5)
    top, y = [], _head(scale) + GROUP_HEAD + COLUMN_HEAD
    for row in range(len(grid.cases)):
        y += 8 if row and _first_of_prompt(grid, row) else 0
        y += APART if _first_held_out(grid, row) else 0
        top.append(y)
        y += height + GAP
    return Layout((width, height), tuple(left), tuple(top), (right + MARGIN, y - GAP + MARGIN), scale)


def _head(scale: float) -> int:
    """Where the title's band ends."""
    return MARGIN + round(96 * scale)


def _first_of_prompt(grid: Grid, row: int) -> bool:
    return row == 0 or grid.cases[row - 1].prompt_id != grid.cases[row].prompt_id


def _first_held_out(grid: Grid, row: int) -> bool:
    return grid.cases[row].held_out and (row == 0 or not grid.cases[row - 1].held_out)


def _image_size(grid: Grid, results: Results) -> tuple[int, int]:
    pictures = (p for group in grid.groups for column in group.columns for p in column.pictures.values())
    for picture in pictures:
        if (image := _open(picture, results)) is not None:
            return image.size
    return 128, 128


def _open(picture: Picture, results: Results) -> Image.Image | None:
    """The image, or None where its file is gone or is no image: a hole in the sheet, not an end of it."""
    path = within(results.folder, picture.file)
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:  # Pillow's UnidentifiedImageError is one too
        return None


# -- drawing


def _title(draw: ImageDraw.ImageDraw, place: Layout, results: Results, answer: Answer | None) -> None:
    name, words, leading = (round(size * place.scale) for size in (28, 16, 22))
    draw.text((MARGIN, MARGIN - 4), results.name, font=font(name), fill=INK)
    if answer is None:
        return
    width = place.size[0] - 2 * MARGIN
    for i, line in enumerate(wrap(answer.sentence, width, words, lines=2)):
        draw.text(
            (MARGIN, MARGIN + round(36 * place.scale) + i * leading), line, font=font(words), fill=FAINT
        )


def _group_heading(draw: ImageDraw.ImageDraw, place: Layout, group: int, heading: str) -> None:
    x, right = place.left[group][0], place.left[group][-1] + place.cell[0]
    y = _head(place.scale)
    text = wrap(heading, max(right - x, 60), 22, lines=1)[0]
    draw.text((x, y), text, font=font(22), fill=INK)
    draw.line((x, y + GROUP_HEAD - 6, right, y + GROUP_HEAD - 6), fill=LINE, width=1)


def _column_heading(draw: ImageDraw.ImageDraw, place: Layout, group: int, column: int, col: Column) -> None:
    width, x = place.cell[0], place.left[group][column]
    y = _head(place.scale) + GROUP_HEAD
    reference = col.trial is None
    colour = BEST if col.best else INK if col.alive else FAINT
    heading = f"{col.heading}  best" if col.best else col.heading
    draw.text((x, y), wrap(heading, width, 24, lines=1)[0], font=font(24), fill=colour)
    for i, line in enumerate(col.detail):
        draw.text((x, y + 31 + i * 18), wrap(line, width, 15, lines=1)[0], font=font(15), fill=FAINT)
    if not reference:  # how many survived, as a bar
        draw.rectangle((x, y + 72, x + width - 1, y + 76), fill=EMPTY)
        if col.survived > 0:
            bar = ALIVE if col.alive else DEAD
            draw.rectangle((x, y + 72, x + max(1, round(col.survived * width)) - 1, y + 76), fill=bar)


def _row_label(draw: ImageDraw.ImageDraw, place: Layout, row: int, case: Case, first: bool) -> None:
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
    missing: tuple[str, str],
    results: Results,
) -> None:
    image = _open(picture, results) if picture else None
    if image is None:
        if picture or any(missing):
            _hole(draw, box, "file missing" if picture else ": ".join(filter(None, missing)))
        return
    width, height = box[2] - box[0], box[3] - box[1]
    image.thumbnail((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    scale = min(width / image.width, height / image.height)
    size = round(image.width * scale), round(image.height * scale)
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(image, (box[0] + (width - size[0]) // 2, box[1] + (height - size[1]) // 2))
    if picture.verdict != "ok":
        _mark(draw, box, picture.verdict)


def _mark(draw: ImageDraw.ImageDraw, box: tuple, verdict: str) -> None:
    """A frame outside the image, so that no pixel is hidden, and a small tag in its corner."""
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


def _frame_best(draw: ImageDraw.ImageDraw, place: Layout, group: int, column: int) -> None:
    left, _, right, bottom = place.box(group, column, len(place.top) - 1)
    top = _head(place.scale) + GROUP_HEAD - 3
    draw.rounded_rectangle((left - 7, top, right + 6, bottom + 7), radius=6, outline=BEST, width=3)
