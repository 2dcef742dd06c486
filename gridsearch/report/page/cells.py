"""The pictures of the page: every cell of its grid, and the strip under the answer."""

from dataclasses import dataclass
from pathlib import Path

from gridsearch.report.colours import spoken, text_on, verdict_colour
from gridsearch.report.grid import CaseRow, Grid, GridColumn, evenly
from gridsearch.report.page.links import link_to
from gridsearch.report.thumbs import Thumb, thumbnail_side, thumbnails
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

STRIP_PICTURES = 11  # pictures in the strip under the answer
PRINTED = 8  # trials of a group on paper, where one cannot scroll


@dataclass(frozen=True)
class Pictures:
    """What a page shows of the run's images.

    Attributes:
        folder, home: the results folder, and the one that the page will lie in.
        small: a stored name -> its thumbnail; None where the name leads elsewhere, or to no image.
    """

    folder: Path
    home: Path
    small: dict[str, Thumb | None]

    def cell(self, column: GridColumn, case: CaseRow) -> dict | None:
        """What the template needs of one cell; None where nothing was rendered."""
        picture = column.pictures.get(case.id)
        if picture is None:
            return None
        colour = verdict_colour(picture.verdict)
        file, small = path_in(self.folder, picture.file), self.small[picture.file]
        return {
            "heading": column.heading,
            "best": column.best,
            "verdict": picture.verdict,
            "colour": colour,
            "ink": text_on(colour),
            "small": small,
            "href": file and link_to(file, self.home),
            "alt": f"{spoken(case.prompt)}, seed {case.seed}, {column.heading}: {picture.verdict}",
            "title": f"{column.heading} · seed {case.seed}\n{picture.said}\ndefect {picture.defect:.3g}",
        }


def pictures_of(grid: Grid, results: Results, home: Path) -> Pictures:
    """Every picture's thumbnail, made once.

    They are as large as will do for all images of the run, those to come included: a run under way need not
    make them anew as it grows.
    """
    files = [file for column in _columns(grid) for file in (p.file for p in column.pictures.values())]
    to_come = (results.planned - len(results.trials)) * len(grid.cases)
    paths = {file: path_in(results.folder, file) for file in files}
    known = [path for path in paths.values() if path]
    small = thumbnails(known, thumbnail_side(len(files) + max(to_come, 0)), results.folder)
    return Pictures(results.folder, home, {file: path and small[path] for file, path in paths.items()})


def _columns(grid: Grid) -> list[GridColumn]:
    return [column for group in grid.groups for column in group.columns]


def table(grid: Grid, pictures: Pictures) -> dict:
    """The grid as rows of cells; a column opens its group where a thicker gap belongs before it.

    `thin` is what is left out on paper: all but evenly spaced ratios, and all but a prompt's first seed.
    """
    columns = [item for g, group in enumerate(grid.groups) for item in _heads(group.columns, g > 0)]
    rows = []
    for i, case in enumerate(grid.cases):
        before = grid.cases[i - 1] if i else None
        rows.append(
            {
                "case": case,
                "first": before is None or before.prompt_id != case.prompt_id,
                "apart": case.held_out and not (before and before.held_out),
                "cells": [
                    item | {"picture": pictures.cell(item["column"], case)} | _missing(item, case)
                    for item in columns
                ],
            }
        )
    return {"groups": grid.groups, "columns": columns, "rows": rows}


def _heads(columns: tuple[GridColumn, ...], opens: bool) -> list[dict]:
    best = next((i for i, column in enumerate(columns) if column.best), None)
    printed = evenly(len(columns), PRINTED, best)
    return [
        {
            "column": column,
            "opens": opens and i == 0,
            "best": column.best,
            "reference": column.trial is None,
            "thin": i not in printed,
        }
        for i, column in enumerate(columns)
    ]


def _missing(item: dict, case: CaseRow) -> dict:
    return {"missing": item["column"].why_missing(case)}


def first_case(grid: Grid, column: GridColumn) -> CaseRow:
    """One that is sound there, where there is one."""
    sound = [case for case in grid.cases if (p := column.pictures.get(case.id)) and p.verdict == "ok"]
    return (sound or grid.cases)[0]


def strip(grid: Grid, answer: Answer, pictures: Pictures) -> dict | None:
    """One case along the ratio in the best slice, evenly thinned, with the recommended one in it.

    None where there are too few, or where it is not the ratio alone that changes.
    """
    wanted = answer.best.trial if answer.best else None
    holds = (
        group.columns for group in grid.groups if any(c.best and c.trial == wanted for c in group.columns)
    )
    columns = next(holds, ())
    if len(columns) < 2 or answer.projection:
        return None
    best = next(i for i, column in enumerate(columns) if column.best)
    case = first_case(grid, columns[best])
    shown = [columns[i] for i in evenly(len(columns), STRIP_PICTURES, best)]
    place = {id(column): i for i, column in enumerate(_columns(grid))}
    found = [
        cell | {"column": place[id(column)]} for column in shown if (cell := pictures.cell(column, case))
    ]
    return {"case": case, "row": grid.cases.index(case), "pictures": found}
