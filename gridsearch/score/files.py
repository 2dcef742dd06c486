"""Scores of any image files: pictures, folders of pictures, and X/Y/Z grids, which are cut first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.image import read_image
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_COLUMNS, Metrics
from gridsearch.score.score import score, score_row
from gridsearch.score.verdict import OK, verdict_of
from gridsearch.score.xyz_grid.cut import Cell, cut, is_grid

UNSCORED = "error"  # in the place of a verdict: the file could not be scored
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
COLUMNS = ("image", "row", "column", "verdict", "defect", *METRIC_COLUMNS, "dial", "reason")

ReferenceChoice = Metrics | int | None  # a picture's metrics, a column of each grid, or none


@dataclass(frozen=True)
class Scored:
    """A table with a row per picture or cell, see COLUMNS; and notes on doubtful references."""

    table: pd.DataFrame
    notes: tuple[str, ...]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, a folder replaced by the pictures in it; one without pictures stays."""
    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        pictures = [file for file in sorted(path.iterdir()) if _is_picture(file)]
        files += pictures or [path]
    return files


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def read_reference(text: str | None) -> ReferenceChoice:
    """Read what `--reference` names: a column number, or a picture.

    Raises:
        BadInput: the picture cannot be read, or is a grid.
    """
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    if is_grid(text):
        raise BadInput(
            "A whole grid cannot be the reference.",
            where=text,
            fix="Give one picture, or the number of a column of the grid that is scored.",
        )
    return measure(read_image(text))


def score_files(
    files: Sequence[Path], reference: ReferenceChoice, counting: Callable[[int], Callable[[], None]]
) -> Scored:
    """Score pictures and grids: a row per picture, a row per cell, and a row for a file that is bad.

    Args:
        reference: what healthy looks like. A column number is a grid's own: each row's cell of that column
            is that row's reference, beside those of the other rows.
        counting: told how many files there are, returns what is called after each.
    Raises:
        BadInput: the only file is bad.
    """
    advance = counting(len(files))
    rows, notes = [], []
    if isinstance(reference, Metrics):
        notes += _doubt("the reference", reference)
    for file in files:
        try:
            found, doubts = _score_file(file, reference)
        except BadInput as error:
            if len(files) == 1:
                raise
            found, doubts = [{"verdict": UNSCORED, "reason": _one_line(error)}], []
        rows += [{"image": str(file)} | row for row in found]
        notes += doubts
        advance()
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Scored(table.astype({"row": "Int64", "column": "Int64"}), tuple(notes))


def _one_line(error: BadInput) -> str:
    """Return an error's message and reason; its place stands in the row."""
    why = [line.strip().removeprefix("why: ") for line in error.lines if line.startswith("  why: ")]
    return " ".join([error.lines[0], *why]).replace("\n", " ")


def _score_file(file: Path, reference: ReferenceChoice) -> tuple[list[dict], list[str]]:
    """Return the rows of one file, and notes on its references."""
    if file.is_dir():
        raise BadInput("This folder holds no pictures.", where=file, fix=f"Give {', '.join(SUFFIXES)}.")
    rgb = read_image(file)
    if not is_grid(file):
        if isinstance(reference, int):
            raise BadInput(
                f"This is no grid, so it has no column {reference}.",
                where=file,
                fix="Give a picture as --reference.",
            )
        return [_row(rgb, _band(reference))], []
    cells = cut(rgb, file)
    if not isinstance(reference, int):
        band = _band(reference)
        return [_cell_row(cell, band) for cell in cells], []
    own = _references(file, cells, reference)
    bands = {row: band_of(list(own.values()), metrics) for row, metrics in own.items()}
    doubts = [
        doubt
        for row, metrics in own.items()
        for doubt in _doubt(f"{file.name}: column {reference}, row {row}, the reference,", metrics)
    ]
    return [_cell_row(cell, bands[cell.row]) for cell in cells], doubts


def _references(file: Path, cells: Sequence[Cell], column: int) -> dict[int, Metrics]:
    """Measure each row's cell in a column."""
    columns = 1 + max(cell.column for cell in cells)
    if column >= columns:
        raise BadInput(
            f"This grid has no column {column}.", where=file, fix=f"Its columns are 0 to {columns - 1}."
        )
    return {cell.row: measure(cell.rgb) for cell in cells if cell.column == column}


def _band(reference: Metrics | None) -> Band:
    return POPULATION if reference is None else band_of([reference], reference)


def _doubt(name: str, reference: Metrics) -> list[str]:
    """Return a note where a named reference, which is believed, would itself not be ok without one."""
    verdict = verdict_of(reference, POPULATION)
    return [] if verdict == OK else [f"{name} would itself be judged {verdict.name}: {verdict.reason}"]


def _cell_row(cell: Cell, band: Band) -> dict:
    return {"row": cell.row, "column": cell.column} | _row(cell.rgb, band)


def _row(rgb: np.ndarray, band: Band) -> dict:
    scored = score_row(score(rgb, band))
    return {name: scored[name] for name in COLUMNS if name in scored}
