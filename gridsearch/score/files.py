"""Scoring image files: pictures, folders of pictures, and X/Y/Z grids, which are cut first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import PICTURE_SUFFIXES
from gridsearch.base.words import one_line
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.image import read_image
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_COLUMNS, Metrics
from gridsearch.score.score import score, score_row
from gridsearch.score.verdict import OK, verdict_of
from gridsearch.score.xyz_grid.cut import Cell, cut_grid, is_grid

UNSCORED = "error"  # the verdict of a file that could not be scored
COLUMNS = ("image", "row", "column", "verdict", "defect", *METRIC_COLUMNS, "dial", "reason")

ReferenceChoice = Metrics | int | None  # a picture's metrics, a column of each grid, or none


@dataclass(frozen=True)
class ScoredFiles:
    """A table with a row per picture or cell (see COLUMNS), and notes on doubtful references."""

    table: pd.DataFrame
    notes: tuple[str, ...]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the named files, with folders replaced by the pictures in them; a folder without any stays."""
    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        pictures = [file for file in sorted(path.iterdir()) if _is_picture(file)]
        files += pictures or [path]
    return files


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".") and file.is_file()


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
            fix="Name one picture, or the number of a column of the grid that is scored.",
        )
    return measure(read_image(text))


def score_files(
    files: Sequence[Path], reference: ReferenceChoice, counting: Callable[[int], Callable[[], None]]
) -> ScoredFiles:
    """Score pictures and grids: a row per picture or cell, and a row for each file that cannot be read.

    Args:
        reference: what healthy looks like. A column number refers to the grid itself: each row's cell in that
            column is the row's own reference, beside those of the other rows.
        counting: called with the number of files; returns a function to call after each.
    Raises:
        BadInput: the only file cannot be read.
    """
    advance = counting(len(files))
    rows, notes = [], _doubt("the reference", reference) if isinstance(reference, Metrics) else []
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
    return ScoredFiles(table.astype({"row": "Int64", "column": "Int64"}), tuple(notes))


def _one_line(error: BadInput) -> str:
    """Return what is wrong and why; the row itself says where."""
    return one_line(" ".join(filter(None, (error.what, error.why))))


def _score_file(file: Path, reference: ReferenceChoice) -> tuple[list[dict], list[str]]:
    """Return the rows of one file, and notes on its references."""
    if file.is_dir():
        kinds = ", ".join(PICTURE_SUFFIXES)
        raise BadInput("This folder holds no pictures.", where=file, fix=f"Put in some of {kinds}.")
    rgb = read_image(file)
    if not is_grid(file):
        if isinstance(reference, int):
            what = f"This is not a grid, so it has no column {reference}."
            raise BadInput(what, where=file, fix="Name a picture as --reference.")
        return [_row(rgb, _band(reference))], []
    cells = cut_grid(rgb, file)
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
    """Return the metrics of each row's cell in a column."""
    columns = 1 + max(cell.column for cell in cells)
    if column >= columns:
        fix = f"Its columns are 0 to {columns - 1}."
        raise BadInput(f"This grid has no column {column}.", where=file, fix=fix)
    return {cell.row: measure(cell.rgb) for cell in cells if cell.column == column}


def _band(reference: Metrics | None) -> Band:
    return POPULATION if reference is None else band_of([reference], reference)


def _doubt(name: str, reference: Metrics) -> list[str]:
    """Return a note where a reference, which is believed, would fail the gates itself."""
    verdict = verdict_of(reference, POPULATION)
    return [] if verdict == OK else [f"{name} would itself get the verdict {verdict.name}: {verdict.reason}"]


def _cell_row(cell: Cell, band: Band) -> dict:
    return {"row": cell.row, "column": cell.column} | _row(cell.rgb, band)


def _row(rgb: np.ndarray, band: Band) -> dict:
    scored = score_row(score(rgb, band))
    return {name: scored[name] for name in COLUMNS if name in scored}
