"""Writing a run's pictures as X/Y/Z grids, drawn and named as AUTOMATIC1111's web UI does.

There is one grid with the first seed of every prompt, one with the second, and so on: ratios across, prompts
down, the parents' own renders first. The seed of the first row is in a grid's name, those of all rows are in
its text. `gridsearch.score.xyz_grid` describes the layout of such a grid, and cuts it.
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
from gridsearch.report.grid import CaseRow, Grid, GridColumn, Picture, fewest_blocks, turns
from gridsearch.report.sheet.sheet import font, image_size, wrap
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import picture_of
from gridsearch.score.measure import read_image
from gridsearch.score.xyz_grid import PREFIX

MAX_ROW_LINES = 3  # beside a row, including its seed
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
        BadInput: there is no such folder, or the pictures differ in size.
    """
    if not folder.is_dir():
        raise BadInput("There is no such folder.", where=folder, fix="Create it first.")
    size = image_size(grid, results)
    earlier = (re.match(rf"{PREFIX}(\d+)-", file.name) for file in folder.iterdir())
    number = max((int(match[1]) for match in earlier if match), default=-1) + 1
    axis = parameter_text(answer.main or "trial") if answer else "ratio"
    for sheet in _sheets(grid, size):
        pixels = np.asarray(_drawn(sheet, size, results, axis, gone))
        text = _text(sheet, results, axis)
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

    Each has the references; rows are split first.
    """
    references = tuple(column for column in grid.columns if column.is_reference)

    def fit(rows: Sequence[CaseRow], columns: Sequence[GridColumn]) -> bool:
        """Return whether so many cells and their labels have at most MAX_PIXELS."""
        return (len(references) + len(columns) + 0.75) * (len(rows) + 0.5) * size[0] * size[1] <= MAX_PIXELS

    for group, turn in product(grid.groups, turns(grid.cases)):
        tried = [column for column in group.columns if any(case.id in column.pictures for case in turn)]
        if group.is_references or not tried:
            continue
        for rows in fewest_blocks(turn, partial(fit, columns=tried)):
            for columns in fewest_blocks(tried, partial(fit, rows)):
                yield Sheet(tuple(rows), (*references, *columns))


def _drawn(sheet: Sheet, size: tuple[int, int], results: Results, axis: str, gone: Gone) -> Image.Image:
    """Draw a grid with black labels, whose letters are a 25th of the sum of a cell's sides high."""
    width, height = size
    letters = (width + height) // 25
    above = [_heading(column, results, axis) for column in sheet.columns]
    left = width * 3 // 4
    pitch = letters + letters // 2
    top = max(map(len, above)) * pitch + letters // 2
    whole = left + len(sheet.columns) * width, top + len(sheet.rows) * height
    image = Image.new("RGB", whole, "white")
    draw = ImageDraw.Draw(image)
    for c, lines in enumerate(above):
        _write(draw, lines, (left + c * width + width / 2, top / 2), width, letters)
    for r, case in enumerate(sheet.rows):
        y = top + r * height
        most = max(min(MAX_ROW_LINES, height * 3 // 4 // pitch), 2)
        seed = [] if sheet.one_seed else [f"seed {case.seed}"]
        lines = wrap(case.prompt, left * 0.9, letters, most - len(seed)) + seed
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
    """Write centred lines, in smaller letters where one is too wide."""
    pitch = letters + letters // 2
    for i, line in enumerate(lines):
        size = letters
        while size > 1 and font(size).getlength(line) > width:
            size -= 1
        place = middle[0], middle[1] + (i - (len(lines) - 1) / 2) * pitch
        draw.text(place, line, "black", font(size), anchor="mm")


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


def _text(sheet: Sheet, results: Results, axis: str) -> pictures.Infotext | None:
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
        "Y Type": "Prompt",
        "Y Values": ", ".join(case.prompt for case in sheet.rows),
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
                yield path, pictures.read_parameters(pictures.embedded_text(path) or "")
