"""Writing a run's pictures as X/Y/Z grids, drawn and named as AUTOMATIC1111's web UI does.

There is one grid with the first seed of every prompt, one with the second, and so on: ratios across, prompts
down, the parents' own renders first. Where a searched value goes down, there is one grid of each prompt and
seed. The seed of the first row is in a grid's name, those of all rows are in its text.
`gridsearch.score.grid_layout` describes the layout of such a grid, and `score` cuts it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.base.pictures import MAX_PIXELS
from gridsearch.base.words import parameter_text
from gridsearch.render import pictures
from gridsearch.report.cells import CaseRow, Grid, GridColumn, Picture, turns
from gridsearch.report.few import fewest_blocks
from gridsearch.report.sheet.sheet import font, image_size, wrap
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import picture_of
from gridsearch.score.grid_layout import LEAST_CELL, MAX_ASPECT
from gridsearch.score.grid_names import PREFIX
from gridsearch.score.measure import read_image

MAX_ROW_LINES = 3  # beside a row, including its seed
LEAST_LETTERS = 5  # pixels
HEADING_LINES = 2  # above a column, at most
Gone = Callable[[str], None]  # called with the name of a picture that is missing or cannot be read


@dataclass(frozen=True)
class Sheet:
    """One grid: a seed of each prompt, and its columns."""

    rows: tuple[CaseRow, ...]
    columns: tuple[GridColumn, ...]

    @property
    def one_seed(self) -> bool:
        """Whether all rows have the same seed."""
        return len({case.seed for case in self.rows}) == 1


def write_grids(
    grid: Grid, results: Results, answer: Answer | None, folder: Path, gone: Gone = lambda _: None
) -> Iterator[Path]:
    """Write the grids into a folder, numbered after those in it, and yield each as it is written.

    The cell of a missing picture stays black; a grid without any picture is not written.

    Raises:
        BadInput: there is no such folder, the pictures differ in size, or no grid of them could be cut again.
    """
    if not folder.is_dir():
        raise BadInput("There is no such folder.", where=folder, fix="Create it first.")
    size = image_size(grid, results)
    _require_cuttable(size)
    earlier = (re.match(rf"{PREFIX}(\d+)-", file.name) for file in folder.iterdir())
    number = max((int(match[1]) for match in earlier if match), default=-1) + 1
    axis = grid.across or (parameter_text(answer.main or "trial") if answer else "ratio")
    for sheet in _sheets(grid, size):
        pixels = np.asarray(_drawn(sheet, size, results, axis, gone))
        text = _text(sheet, results, axis, grid.down)
        if text is None:
            continue
        height, width = pixels.shape[:2]
        seed, cfg, steps = (text.settings[key] for key in ("Seed", "CFG scale", "Steps"))
        now = f"{datetime.now():%Y%m%d%H%M%S}"
        path = folder / f"{PREFIX}{number:04}-{seed}-{width}-{height}-{cfg}-{steps}-{now}.png"
        write_atomic(path, pictures.png_bytes(pixels, pictures.as_text(text)))
        number += 1
        yield path


def _sheets(grid: Grid, size: tuple[int, int]) -> Iterator[Sheet]:
    """Yield a grid for each slice and turn of seeds, in the fewest parts that are small enough to be read.

    Each has the references, unless a value goes down, on whose axis they do not lie; rows are split first.
    """
    references = tuple(column for column in grid.columns if column.is_reference and not grid.down)

    def fit(rows: Sequence[CaseRow], columns: Sequence[GridColumn]) -> bool:
        """Return whether so many cells and their labels have at most MAX_PIXELS."""
        width, height = _grid_size(len(references) + len(columns), len(rows), size, HEADING_LINES)
        return width * height <= MAX_PIXELS

    for group, turn in product(grid.groups, turns(grid.cases)):
        tried = [column for column in group.columns if any(case.id in column.pictures for case in turn)]
        if group.is_references or not tried:
            continue
        if not fit(turn[:1], tried[:1]):
            least = f"one ratio and {len(references)} references of {size[0]} x {size[1]} pixels"
            raise BadInput(
                f"An X/Y/Z grid of these images would be larger than {MAX_PIXELS:,} pixels.",
                why=f"That is the most that `score` reads, and a row of {least} has more.",
                fix="Make a contact sheet instead: leave out --xyz.",
            )
        for rows in fewest_blocks(turn, partial(fit, columns=tried)):
            for columns in fewest_blocks(tried, partial(fit, rows)):
                yield Sheet(tuple(rows), (*references, *columns))


def _require_cuttable(size: tuple[int, int]) -> None:
    """Refuse pictures of a (width, height) that `score` does not look for in a grid."""
    if min(size) < LEAST_CELL or max(size) > MAX_ASPECT * min(size):
        raise BadInput(
            f"Images of {size[0]} x {size[1]} pixels cannot be cut out of an X/Y/Z grid again.",
            why=f"Its cells have at least {LEAST_CELL} x {LEAST_CELL} pixels, and one side is at most "
            f"{MAX_ASPECT:g} times the other.",
            fix="Make a contact sheet instead: leave out --xyz.",
        )


def _grid_size(columns: int, rows: int, cell: tuple[int, int], lines: int) -> tuple[int, int]:
    """Return (width, height) of a grid with so many lines above its columns."""
    width, height = cell
    letters, pitch = _letters(cell)
    return width * 3 // 4 + columns * width, lines * pitch + letters // 2 + rows * height


def _letters(cell: tuple[int, int]) -> tuple[int, int]:
    """Return the height of letters, a 25th of the sum of a cell's sides, and that of a line."""
    letters = sum(cell) // 25
    return letters, letters + letters // 2


def _drawn(sheet: Sheet, size: tuple[int, int], results: Results, axis: str, gone: Gone) -> Image.Image:
    """Draw a grid with black labels."""
    width, height = size
    letters, pitch = _letters(size)
    above = [_heading(column, results, axis) for column in sheet.columns]
    whole = _grid_size(len(sheet.columns), len(sheet.rows), size, max(map(len, above)))
    left, top = whole[0] - len(sheet.columns) * width, whole[1] - len(sheet.rows) * height
    image = Image.new("RGB", whole, "white")
    draw = ImageDraw.Draw(image)
    for c, lines in enumerate(above):
        _write(draw, lines, (left + c * width + width / 2, top / 2), width, letters)
    for r, case in enumerate(sheet.rows):
        y = top + r * height
        most = max(min(MAX_ROW_LINES, height * 3 // 4 // pitch), 2)
        seed = [] if sheet.one_seed else [f"seed {case.seed}"]
        lines = wrap(case.setting or case.prompt, left * 0.9, letters, most - len(seed)) + seed
        _write(draw, lines, (left / 2, y + height / 2), left, letters)
        for c, column in enumerate(sheet.columns):
            image.paste(_cell(column.pictures.get(case.id), size, results, gone), (left + c * width, y))
    return image


def _heading(column: GridColumn, results: Results, axis: str) -> list[str]:
    if not column.is_reference:
        return [f"{axis}: {column.heading}"]
    digits = results.facts.models.get(column.heading, {}).get("short_hash")
    return [column.heading, *([f"[{digits}]"] if digits else [])]


def _write(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], middle: tuple[float, float], width: float, letters: int
) -> None:
    """Write centred lines, in smaller letters where one is too wide, and cut short where that is not enough.

    Letters of one or two pixels would be too pale to be seen as a label.
    """
    pitch = letters + letters // 2
    for i, line in enumerate(lines):
        size = letters
        while size > max(letters // 2, LEAST_LETTERS) and font(size).getlength(line) > width:
            size -= 1
        place = middle[0], middle[1] + (i - (len(lines) - 1) / 2) * pitch
        draw.text(place, wrap(line, width, size, lines=1)[0], "black", font(size), anchor="mm")


def _cell(picture: Picture | None, size: tuple[int, int], results: Results, gone: Gone) -> Image.Image:
    """Return the picture as it is; black, as in the web UI, where none was rendered or it is gone.

    One that is kept small is enlarged to what it was: a grid's cells are of one size.
    """
    if picture is None:
        return Image.new("RGB", size)
    path = picture_of(results.folder, picture.file)
    try:
        image = Image.fromarray(read_image(path))
    except BadInput:
        gone(picture.file)
        return Image.new("RGB", size)
    if pictures.reduced_from(path) == size:
        return image.resize(size, Image.Resampling.LANCZOS)
    if image.size != size:
        raise BadInput(
            "All images of an X/Y/Z grid must have the same size.",
            where=picture.file,
            why=f"It has {image.width} x {image.height} pixels, another one {size[0]} x {size[1]}.",
        )
    return image


def _text(sheet: Sheet, results: Results, axis: str, down: str) -> pictures.Infotext | None:
    """Return the settings of one of the pictures, and what they differ in; None where all are gone."""
    path, text = next(_texts(sheet, results), (None, None))
    if text is None:
        return None
    if not {"CFG scale", "Steps"} <= set(text.settings):
        raise BadInput(
            "The image contains no generation parameters.",
            where=path,
            why="The grid's name needs cfg and steps, which are read from its text.",
            fix="Restore the file as the run wrote it.",
        )
    settings = {key: value for key, value in text.settings.items() if key not in ("Recipe", pictures.REDUCED)}
    settings |= {
        "Seed": str(sheet.rows[0].seed),
        "Script": "X/Y/Z plot",
        "X Type": axis,
        "X Values": ", ".join(column.heading for column in sheet.columns),
        "Y Type": down or "Prompt",
        "Y Values": ", ".join(case.setting.removeprefix(f"{down} ") or case.prompt for case in sheet.rows),
    }
    if not sheet.one_seed:
        settings["Row seeds"] = ", ".join(str(case.seed) for case in sheet.rows)
    return pictures.Infotext(sheet.rows[0].prompt, text.negative, settings)


def _texts(sheet: Sheet, results: Results) -> Iterator[tuple[Path, pictures.Infotext]]:
    """Yield the texts of the pictures that can be read, each with its file.

    Those of trials come first, whose settings are also those of the others.
    """
    columns = sorted(sheet.columns, key=lambda column: (column.is_reference, not column.best))
    for picture in (column.pictures.get(case.id) for column in columns for case in sheet.rows):
        if picture is not None:
            path = picture_of(results.folder, picture.file)
            with suppress(BadInput):  # reported when the cells were drawn
                yield path, pictures.read_parameters(pictures.embedded_text(path))
