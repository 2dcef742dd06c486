"""Scoring image files: pictures, folders of pictures, and grids, which are cut first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import PICTURE_SUFFIXES
from gridsearch.base.words import one_line
from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.grid_names import PREFIX, is_batch_grid, is_grid, is_of_xyz_script, told_cell
from gridsearch.score.measure import Measuring, PictureFile, measure, read_picture_file
from gridsearch.score.metrics import METRIC_COLUMNS, Metrics
from gridsearch.score.score import score_of, score_row
from gridsearch.score.verdict import OK, verdict_of
from gridsearch.score.xyz_grid import Cell, cut_batch_grid, cut_grid

UNSCORED = "error"  # the verdict of a file that could not be scored
PLACE = ("z", "row", "column")  # of a cell in its grid; empty for a whole picture
COLUMNS = ("image", *PLACE, "verdict", "defect", *METRIC_COLUMNS, "dial", "reason")

ReferenceChoice = Metrics | int | None  # a picture's metrics, a column of each grid, or none


@dataclass(frozen=True)
class ScoredFiles:
    """A table with a row per picture or cell (see COLUMNS), and notes on what may surprise."""

    table: pd.DataFrame
    notes: tuple[str, ...]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the named files, with folders replaced by the pictures in them; a folder without any stays.

    Those of subfolders are among them, as A1111 makes one for each day; hidden ones are not.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else []
        files += [file for file in inside if _is_picture(file, path)] or [path]
    return files


def _is_picture(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix.lower() in PICTURE_SUFFIXES and not hidden and file.is_file()


def read_reference(text: str | None, measured: Measuring = measure) -> ReferenceChoice:
    """Read what `--reference` names: a column number, or a picture, which is measured.

    Raises:
        BadInput: the picture cannot be read, or is a grid.
    """
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    picture = None if is_grid(text) else read_picture_file(text)
    if picture is None or _cut(picture, Path(text)):
        raise BadInput(
            "A whole grid cannot be the reference.",
            where=text,
            fix="Name one picture, or the number of a column of the grid that is scored.",
        )
    return measured(picture.rgb)


def score_files(
    files: Sequence[Path],
    reference: ReferenceChoice,
    counting: Callable[[int], Callable[[], None]],
    measured: Measuring = measure,
) -> ScoredFiles:
    """Score pictures and grids: a row per picture or cell, and a row for each file that cannot be read.

    Args:
        reference: what healthy looks like. A column number refers to the grid itself: each row's cell in that
            column is the row's own reference, beside those of the other rows.
        counting: called with the number of files; returns a function to call after each.
        measured: takes the metrics of a picture.
    Raises:
        BadInput: the only file cannot be read.
    """
    advance = counting(len(files))
    rows, notes = [], _doubt("the reference", reference) if isinstance(reference, Metrics) else []
    for file in files:
        try:
            found, doubts = _score_file(file, reference, measured)
        except BadInput as error:
            if len(files) == 1:
                raise
            why = one_line(" ".join(filter(None, (error.what, error.why))))  # the row itself says where
            found, doubts = [{"verdict": UNSCORED, "reason": why}], []
        rows += [{"image": str(file)} | row for row in found]
        notes += doubts
        advance()
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return ScoredFiles(table.astype(dict.fromkeys(PLACE, "Int64")), tuple(notes))


def _score_file(file: Path, reference: ReferenceChoice, measured: Measuring) -> tuple[list[dict], list[str]]:
    """Return the rows of one file, and notes on its references."""
    if file.is_dir():
        kinds = ", ".join(PICTURE_SUFFIXES)
        raise BadInput("This folder holds no pictures.", where=file, fix=f"Add some: {kinds}.")
    picture = read_picture_file(file)
    band = band_of([], reference if isinstance(reference, Metrics) else None)
    cells = _cut(picture, file)
    notes = _surprises(file, picture, cells)
    if not cells:
        if isinstance(reference, int):
            what = f"This is not a grid, so it has no column {reference}."
            raise BadInput(what, where=file, fix="Name a picture as --reference.")
        return [score_row(score_of(measured(picture.rgb), band))], notes
    last = max(cell.column for cell in cells)
    if isinstance(reference, int) and reference > last:
        fix = f"Its columns are 0 to {last}."
        raise BadInput(f"This grid has no column {reference}.", where=file, fix=fix)
    own = {(cell.z, cell.row): measured(cell.rgb) for cell in cells if cell.column == reference}
    bands = {place: band_of(list(own.values()), metrics) for place, metrics in own.items()}
    rows = [
        {"z": cell.z, "row": cell.row, "column": cell.column}
        | score_row(score_of(measured(cell.rgb), bands.get((cell.z, cell.row), band)))
        for cell in cells
    ]
    for (z, row), metrics in own.items():
        where = f"column {reference}, row {row}" + ("" if z is None else f" of z {z}")
        notes += _doubt(f"{file.name}: {where}, the reference,", metrics)
    return rows, notes


def _cut(picture: PictureFile, file: Path) -> list[Cell]:
    """Return the cells of a grid; [] for a file that is one picture."""
    if is_grid(file):
        return cut_grid(picture.rgb, file, picture.text)
    cells = cut_batch_grid(picture.rgb, picture.text) if is_batch_grid(file) else None
    return cells if cells and len(cells) > 1 else []


def _surprises(file: Path, picture: PictureFile, cells: Sequence[Cell]) -> list[str]:
    """Return notes on what is left out of a file, and on a grid that is not cut."""
    notes = []
    if picture.frames > 1:
        notes.append(f"{file.name} holds {picture.frames} pictures; only the first was scored.")
    told = told_cell(picture.text)
    if is_batch_grid(file) and not cells and told != picture.rgb.shape[1::-1]:
        why = (
            f"pictures of {told[0]} x {told[1]} do not fill it"
            if told
            else "no text tells its pictures' size"
        )
        notes.append(
            f"{file.name} is named as a grid, but was scored as one picture: {why}. Score them one by one, "
            "or the file as the web UI saved it."
        )
    elif not is_grid(file) and is_of_xyz_script(picture.text):
        notes.append(
            f"{file.name} was made as an X/Y/Z grid, but was scored as one picture. Begin its name with "
            f"{PREFIX} to have it cut."
        )
    return notes


def _doubt(name: str, reference: Metrics) -> list[str]:
    """Return a note where a reference, which is believed, would fail the gates itself."""
    verdict = verdict_of(reference, POPULATION)
    return [] if verdict == OK else [f"{name} would itself get the verdict {verdict.name}: {verdict.reason}"]
