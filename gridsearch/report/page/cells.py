"""The images of the page: every cell of its grid, and the strip below the answer."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gridsearch.report.colours import chip, spoken
from gridsearch.report.grid import CaseRow, Grid, GridColumn, evenly
from gridsearch.report.thumbs import Thumb, thumbnail_side, thumbnails
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

STRIP_PICTURES = 11  # in the strip below the answer
PRINTED = 8  # trials of a group on paper, which cannot be scrolled


def link_to(file: Path, home: Path) -> str:
    """Return a link to `file` from a page in `home`."""
    return quote(Path(os.path.relpath(file, home)).as_posix())


@dataclass(frozen=True)
class Pictures:
    """The run's images for a page."""

    folder: Path  # of the results
    home: Path  # the folder of the page
    small: dict[str, Thumb | None]  # by stored name; None where it leads out of the folder, or to no image

    def cell(self, column: GridColumn, case: CaseRow) -> dict | None:
        """Return a cell for the template; None where nothing was rendered."""
        picture = column.pictures.get(case.id)
        if picture is None:
            return None
        file = path_in(self.folder, picture.file)
        return chip(picture.verdict) | {
            "heading": column.heading,
            "best": column.best,
            "small": self.small[picture.file],
            "href": file and link_to(file, self.home),
            "alt": f"{spoken(case.prompt)}, seed {case.seed}, {column.heading}: {picture.verdict}",
            "title": f"{column.heading} · seed {case.seed}\n{picture.said}\ndefect {picture.defect:.3g}",
        }


def pictures_of(grid: Grid, results: Results, home: Path) -> Pictures:
    """Return the page's images with a thumbnail of each.

    Their size depends on the number of all images of the run, including those to come, so that they need not
    be made again as a run grows.
    """
    files = [picture.file for column in grid.columns for picture in column.pictures.values()]
    to_come = (results.planned - len(results.trials)) * len(grid.cases)
    side = thumbnail_side(len(files) + max(to_come, 0))
    paths = {file: path_in(results.folder, file) for file in files}
    made = thumbnails(filter(None, paths.values()), side, results.folder)
    small = {file: made[path] if path else None for file, path in paths.items()}
    return Pictures(results.folder, home, small)


def table(grid: Grid, pictures: Pictures) -> dict:
    """Return the grid as rows of cells for the template.

    A column that `opens` its group has a wider gap before it. `thin` columns are left out on paper, so that
    evenly spaced ratios remain; so are all but the first seed of each prompt.
    """
    heads = []
    for number, group in enumerate(grid.groups):
        best = next((i for i, column in enumerate(group.columns) if column.best), None)
        printed = evenly(len(group.columns), PRINTED, best)
        for i, column in enumerate(group.columns):
            opens = number > 0 and i == 0
            heads.append({"column": column, "opens": opens, "best": column.best, "thin": i not in printed})
    rows = []
    for row, case in enumerate(grid.cases):
        pairs = [(pictures.cell(column, case), column.why_missing(case)) for column in grid.columns]
        cells = [
            head | {"picture": picture, "missing": missing}
            for head, (picture, missing) in zip(heads, pairs, strict=True)
        ]
        first, apart = grid.first_of_prompt(row), grid.first_held_out(row)
        rows.append({"case": case, "first": first, "apart": apart, "cells": cells})
    return {"groups": grid.groups, "columns": heads, "rows": rows}


def strip(grid: Grid, answer: Answer, pictures: Pictures) -> dict | None:
    """Return one case along the ratio in the best slice for the template, with the recommended ratio in it.

    None where there are too few images, or where more than the ratio changes.
    """
    shown, case = grid.along(answer.best.trial if answer.best else None, STRIP_PICTURES)
    if case is None or len(shown) < 2 or answer.projection or not any(column.best for column in shown):
        return None
    place = {id(column): i for i, column in enumerate(grid.columns)}
    cells = [
        {"column": place[id(column)]} | cell for column in shown if (cell := pictures.cell(column, case))
    ]
    return {"case": case, "row": grid.cases.index(case), "pictures": cells}
