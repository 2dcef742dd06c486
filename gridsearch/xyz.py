"""A run's pictures as X/Y/Z grids, drawn and named as AUTOMATIC1111's web UI does, for those who read them.

One grid for each seed, which is in its name: ratios across, the prompts of that seed down, the parents' own
renders first. `gridsearch.score.cells` says how such a grid is laid out, and cuts it again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gridsearch.errors import BadInput
from gridsearch.files import write_atomic
from gridsearch.render.infotext import Infotext, parameters_of, read_parameters, written
from gridsearch.render.png import png_bytes
from gridsearch.report.answer import Answer
from gridsearch.report.grid import Case, Column, Grid, Picture, build_grid
from gridsearch.report.labels import parameter_text
from gridsearch.report.lettering import font, wrap
from gridsearch.report.links import within
from gridsearch.report.results import Results
from gridsearch.score.cells import PREFIX
from gridsearch.score.image import MAX_PIXELS, read_image

MOST_LINES = 3  # of a prompt beside its row


@dataclass(frozen=True)
class Sheet:
    """One grid: a seed's rows, and the columns that stand beside one another."""

    seed: int
    rows: tuple[Case, ...]
    columns: tuple[Column, ...]

    def pictures(self) -> Iterator[Picture]:
        """Those of trials first, for they say how the others were drawn."""
        for column in sorted(self.columns, key=lambda column: (column.trial is None, not column.best)):
            yield from filter(None, (column.pictures.get(case.key) for case in self.rows))


def write_grids(
    results: Results,
    answer: Answer | None,
    folder: Path,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
) -> Iterator[Path]:
    """Write the grids into a folder, numbered on from those that lie there; yields each as it is written.

    Raises:
        BadInput: there is no such folder, nothing is rendered yet, or a picture is gone or of another size.
    """
    if not folder.is_dir():
        raise BadInput("There is no such folder.", where=folder, fix="Make it first.")
    grid = build_grid(results, answer, ratios=ratios, prompts=prompts)
    size = _size(grid, results)
    index = next_index(folder)
    axis = parameter_text(answer.main or "trial") if answer else "ratio"
    for number, sheet in enumerate(_sheets(grid, size), index):
        text = _text(sheet, results, axis)
        pixels = np.asarray(_drawn(sheet, size, results, axis))
        path = folder / _name(number, sheet.seed, pixels.shape[1::-1], text)
        write_atomic(path, png_bytes(pixels, written(text)))
        yield path


def next_index(folder: Path) -> int:
    """The number after the highest of the grids in a folder; 0 where there is none."""
    found = (re.match(rf"{PREFIX}(\d+)-", file.name) for file in folder.iterdir())
    return max((int(match[1]) for match in found if match), default=-1) + 1


def _name(index: int, seed: int, size: tuple[int, int], text: Infotext) -> str:
    """xyz_grid-{index}-{seed}-{grid width}-{grid height}-{cfg}-{steps}-{YYYYMMDDHHMMSS}.png"""
    settings = text.settings
    drawn = f"{settings['CFG scale']}-{settings['Steps']}"
    return f"{PREFIX}{index:04}-{seed}-{size[0]}-{size[1]}-{drawn}-{datetime.now():%Y%m%d%H%M%S}.png"


# -- what stands on which grid


def _sheets(grid: Grid, size: tuple[int, int]) -> Iterator[Sheet]:
    """One for each slice and seed; several where one would have more pixels than a reader takes."""
    references = tuple(c for group in grid.groups for c in group.columns if c.trial is None)
    for group in grid.groups:
        tried = [column for column in group.columns if column.trial is not None]
        for seed in dict.fromkeys(case.seed for case in grid.cases):
            rows = tuple(case for case in grid.cases if case.seed == seed)
            columns = [column for column in tried if any(case.key in column.pictures for case in rows)]
            if columns:
                yield from _that_fit(Sheet(seed, rows, tuple(columns)), references, size)


def _that_fit(sheet: Sheet, references: tuple[Column, ...], size: tuple[int, int]) -> Iterator[Sheet]:
    """The sheet in as few parts as are read again, rows split before columns, each with the references."""
    beside = len(references)
    for rows in _blocks(sheet.rows, lambda part: _fits(len(part), beside + len(sheet.columns), size)):
        for columns in _blocks(sheet.columns, partial(_columns_fit, len(rows), beside, size)):
            yield Sheet(sheet.seed, rows, (*references, *columns))


def _columns_fit(rows: int, beside: int, size: tuple[int, int], columns: Sequence[Column]) -> bool:
    return _fits(rows, beside + len(columns), size)


def _blocks(items: tuple, fits: Callable[[tuple], bool]) -> list[tuple]:
    """The fewest blocks of about the same size that all fit; single items where none does."""
    for count in range(1, len(items) + 1):
        size = ceil(len(items) / count)
        if fits(items[:size]):
            break
    return [items[start : start + size] for start in range(0, len(items), size)]


def _fits(rows: int, columns: int, size: tuple[int, int]) -> bool:
    """Whether so many cells, with room for their labels, have at most MAX_PIXELS."""
    return (columns + 0.75) * (rows + 0.5) * size[0] * size[1] <= MAX_PIXELS


# -- drawing


def _drawn(sheet: Sheet, size: tuple[int, int], results: Results, axis: str) -> Image.Image:
    """Labels in black on white: letters a 25th of the sum of a cell's sides, half of that between lines."""
    width, height = size
    letters = (width + height) // 25
    above = [_heading(column, results, axis) for column in sheet.columns]
    left = width * 3 // 4 if len(sheet.rows) > 1 else 0
    pitch = letters + letters // 2
    top = max(map(len, above)) * pitch + letters // 2
    whole = left + len(sheet.columns) * width, top + len(sheet.rows) * height
    image = Image.new("RGB", whole, "white")
    draw = ImageDraw.Draw(image)
    for c, lines in enumerate(above):
        _write(draw, lines, (left + c * width + width / 2, top / 2), width, letters)
    for r, case in enumerate(sheet.rows):
        y = top + r * height
        if left:
            most = max(min(MOST_LINES, height * 3 // 4 // pitch), 1)
            lines = wrap(case.prompt, left * 0.9, letters, most)
            _write(draw, lines, (left / 2, y + height / 2), left, letters)
        for c, column in enumerate(sheet.columns):
            image.paste(_cell(column.pictures.get(case.key), size, results), (left + c * width, y))
    return image


def _heading(column: Column, results: Results, axis: str) -> list[str]:
    if column.trial is not None:
        return [f"{axis}: {column.heading}"]
    digits = results.models.get(column.heading, {}).get("short_hash")
    return [column.heading, *([f"[{digits}]"] if digits else [])]


def _write(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], middle: tuple[float, float], width: float, letters: int
) -> None:
    """Centred lines, in smaller letters where one is too wide."""
    pitch = letters + letters // 2
    for i, line in enumerate(lines):
        size = letters
        while size > 1 and font(size).getlength(line) > width:
            size -= 1
        place = middle[0], middle[1] + (i - (len(lines) - 1) / 2) * pitch
        draw.text(place, line, "black", font(size), anchor="mm")


def _cell(picture: Picture | None, size: tuple[int, int], results: Results) -> Image.Image:
    """The picture as it is; black, as the web UI leaves it, where none was drawn."""
    if picture is None:
        return Image.new("RGB", size)
    image = Image.fromarray(read_image(_path(picture, results)))
    if image.size != size:
        raise BadInput(
            "The pictures are not of one size, as an X/Y/Z grid wants them.",
            where=picture.file,
            why=f"it has {image.width} x {image.height} pixels, another {size[0]} x {size[1]}",
        )
    return image


# -- what the pictures say


def _size(grid: Grid, results: Results) -> tuple[int, int]:
    """(width, height) of the pictures."""
    pictures = (p for group in grid.groups for column in group.columns for p in column.pictures.values())
    height, width = read_image(_path(next(pictures), results)).shape[:2]
    return width, height


def _path(picture: Picture, results: Results) -> Path:
    path = within(results.folder, picture.file)
    if path is None:
        raise BadInput("A picture's name leads out of the results folder.", where=picture.file)
    return path


def _text(sheet: Sheet, results: Results, axis: str) -> Infotext:
    """How the pictures were drawn, of one of them, and along what they differ."""
    path = _path(next(sheet.pictures()), results)
    text = read_parameters(parameters_of(path) or "")
    if not {"CFG scale", "Steps"} <= set(text.settings):
        raise BadInput(
            "The picture does not say how it was drawn.",
            where=path,
            why="the grid's name holds cfg and steps, which are read from its text",
            fix="Put the file back as the run wrote it.",
        )
    settings = {key: value for key, value in text.settings.items() if key != "Recipe"}
    settings |= {
        "Script": "X/Y/Z plot",
        "X Type": axis,
        "X Values": ", ".join(column.heading for column in sheet.columns),
    }
    if len(sheet.rows) > 1:
        settings |= {"Y Type": "Prompt", "Y Values": ", ".join(case.prompt for case in sheet.rows)}
    return Infotext(sheet.rows[0].prompt, text.negative, settings)
