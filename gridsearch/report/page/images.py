"""The images of the page: every cell of its grid, the strip below the answer, and the films.

Film strips of the denoising stand case by case along the ratio, with the final image, as many as fit the
page: the first seed of every prompt comes before any second one, so that seeds are left out before prompts
are. Films that are not shown are links to their files.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridsearch.report.cells import CaseRow, Grid, GridColumn, Picture, turns
from gridsearch.report.colours import chip, spoken, verdict_colour
from gridsearch.report.few import evenly
from gridsearch.report.grid import MOST_CELLS
from gridsearch.report.page.comparer import axis_text
from gridsearch.report.thumbs import Thumb, at_height, thumbnail_side, thumbnails
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

STRIP_PICTURES = 11  # in the strip below the answer
MOST_FROZEN = 2  # references that stay in sight where the others are scrolled
PRINTED = 8  # trials of a group on paper, which cannot be scrolled
FILM_BYTES = 3_000_000  # for all films of a report
HEIGHTS = (96, 64)  # px; 96 as they are stored, 64 where those do not all fit
STRIPS = 24  # shown of one case, beside the references; more are too alike to be worth their bytes
ON_SCREEN = 76  # px, the height of a frame on a wide screen


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
    side = thumbnail_side(min(len(files) + max(to_come, 0), MOST_CELLS))
    paths = {file: path_in(results.folder, file) for file in files}
    made = thumbnails(filter(None, paths.values()), side, results.folder)
    small = {file: made[path] if path else None for file, path in paths.items()}
    return Pictures(results.folder, home, small)


def table(grid: Grid, pictures: Pictures) -> dict:
    """Return the grid as rows of cells for the template.

    A column that `opens` its group has a wider gap before it. `thin` columns are left out on paper, so that
    evenly spaced ratios remain; so are all but the first seed of each prompt.
    """
    heads: list[dict[str, Any]] = []
    for number, group in enumerate(grid.groups):
        best = next((i for i, column in enumerate(group.columns) if column.best), None)
        printed = evenly(len(group.columns), PRINTED, best)
        for i, column in enumerate(group.columns):
            opens = number > 0 and i == 0
            heads.append({"column": column, "opens": opens, "thin": i not in printed})
    rows = []
    for row, case in enumerate(grid.cases):
        cells = [head | {"picture": pictures.cell(head["column"], case)} for head in heads]
        first, apart = grid.first_of_prompt(row), grid.first_held_out(row)
        rows.append({"case": case, "first": first, "apart": apart, "cells": cells})
    references = [column for column in grid.columns if column.is_reference]
    broken = any(p.verdict != "ok" for column in references for p in column.pictures.values())
    frozen = len(references) if len(references) <= MOST_FROZEN and grid.groups[1:] else 0
    return {"groups": grid.groups, "columns": heads, "rows": rows, "broken": broken, "frozen": frozen}


def strip(grid: Grid, results: Results, answer: Answer, pictures: Pictures) -> dict | None:
    """Return the few images below the answer for the template; None where the best has none.

    One case along the ratio in the best slice, with the recommended ratio in it; where more than the ratio
    changes, or there is no other yet, the references' images of a prompt, then the recommended trial's own
    images, of this prompt and of others.
    """
    best = answer.best.trial if answer.best else None
    shown, case = grid.along(best, STRIP_PICTURES, answer.tied)
    own = next((column for column in grid.columns if best is not None and column.trial == best), None)
    if case is None or own is None:
        return None
    place = {id(column): i for i, column in enumerate(grid.columns)}
    along = len(shown) > 1 and own.best and not answer.projection
    if along:
        parts = [(column, case, column.heading) for column in shown]
        caption = f"One image along the {axis_text(answer)}: “{case.prompt}”, seed {case.seed}"
        caption += _modes_text(results)
    else:
        firsts = next(iter(turns(case for case in grid.cases if case.id in own.pictures)), ())
        beside = [column for column in grid.columns if column.is_reference][: STRIP_PICTURES // 2]
        parts = [(column, one, f"{column.heading} alone") for column in beside for one in firsts[:1]]
        parts += [(own, case, case.prompt_id) for case in firsts[: STRIP_PICTURES - len(parts)]]
        axis = f"{axis_text(answer)} " if own.value is not None else ""
        models = " and ".join(column.heading for column in beside)
        first = f"The first prompt by {models} alone, then each" if models else "One image of each"
        caption = f"{first} prompt by {axis}{own.name}"
    cells = [
        cell | {"column": place[id(column)], "row": grid.cases.index(case), "under": under}
        for column, case, under in parts
        if (cell := pictures.cell(column, case))
    ]
    for cell in () if along else cells:
        cell["best"] = cell["best"] and bool(beside)  # else all of them are
    return {"caption": caption, "pictures": cells} if cells else None


def _modes_text(results: Results) -> str:
    """Return why an end of the ratio may not look like its model; empty where all is drawn in one mode."""
    modes = set(results.images["prediction_type"])
    others = results.references[~results.references["prediction_type"].isin(modes)]
    apart = [
        f"{model} in {mode}" for model, mode in others.groupby("model")["prediction_type"].first().items()
    ]
    if not apart:
        return ""
    merges = " and ".join(sorted(modes))
    models = " and ".join(others["model"].unique())
    return (
        f". Merges are drawn in {merges}, {' and '.join(apart)}: at its end, a merge may differ from {models}"
    )


# -- films


@dataclass(frozen=True)
class Film:
    """A film that was kept, and the image that it led to; None where its name leads out of the folder."""

    column: GridColumn
    picture: Picture
    path: Path
    image: Path | None


@dataclass(frozen=True)
class Reel:
    """The films that the page carries, each with its final image; None where a file is gone or no image."""

    height: int  # px
    shown: dict[Path, list[Thumb | None]]  # film and final image by the film's path

    @property
    def widest(self) -> int:
        """The width of the longest film in px; 0 without any."""
        return max((film.width_at(self.height) for film, _ in self.shown.values() if film), default=0)


def film_section(grid: Grid, best: int | None, folder: Path, home: Path) -> dict | None:
    """Return the section for the template; None where no film was kept. The best trial is always shown."""
    kept = {case: films for case in grid.cases if (films := _kept(grid, case, folder))}
    chosen = [evenly_chosen(kept[case], best) for turn in turns(kept) for case in turn]
    reel = _fitting(chosen, folder)
    if not reel.widest:
        return None
    total = sum(len(films) for films in kept.values())
    return {
        "cases": [_case(grid, case, films, reel, home) for case, films in kept.items()],
        "left_out": total - len(reel.shown),
        "total": total,
        "width": round(reel.widest * ON_SCREEN / reel.height),
    }


def _kept(grid: Grid, case: CaseRow, folder: Path) -> list[Film]:
    """Return a case's films, references first and then along the ratio."""
    return [
        Film(column, picture, path, path_in(folder, picture.file))
        for column in grid.columns
        if (picture := column.pictures.get(case.id))
        and picture.film
        and (path := path_in(folder, picture.film))
    ]


def evenly_chosen(films: Sequence[Film], best: int | None) -> list[Film]:
    """Return all references, and STRIPS of the others: both ends, the best, and evenly spaced ones."""
    trials = [film for film in films if not film.column.is_reference]
    kept = next((i for i, film in enumerate(trials) if film.column.trial == best), None)
    references = [film for film in films if film.column.is_reference]
    return references + [trials[i] for i in evenly(len(trials), STRIPS, kept)]


def _fitting(cases: Sequence[Sequence[Film]], folder: Path) -> Reel:
    """Return as many whole cases as fit FILM_BYTES, at the greatest height at which all fit."""
    for height in HEIGHTS:
        reel = Reel(height, {})
        left = FILM_BYTES
        for films in cases:
            made = {
                film.path: [at_height(path, height, folder) for path in (film.path, film.image)]
                for film in films
            }
            left -= sum(len(thumb.uri) for pair in made.values() for thumb in pair if thumb)
            if left < 0:
                break
            reel.shown.update(made)
        else:
            break
    return reel


def _case(grid: Grid, case: CaseRow, films: list[Film], reel: Reel, home: Path) -> dict:
    groups = []
    for group in grid.groups:
        mine = [film for film in films if any(film.column is column for column in group.columns)]
        strips = [_strip(film, case, reel, home) for film in mine if film.path in reel.shown]
        rest = [_link(film, home) for film in mine if film.path not in reel.shown]
        if mine:
            groups.append({"heading": group.heading, "strips": strips, "rest": rest})
    beads = [verdict_colour(film.picture.verdict) for film in films if not film.column.is_reference]
    return {"case": case, "groups": groups, "beads": beads}


def _link(film: Film, home: Path) -> dict:
    return chip(film.picture.verdict) | {"heading": film.column.heading, "href": link_to(film.path, home)}


def _strip(film: Film, case: CaseRow, reel: Reel, home: Path) -> dict:
    """Return one line for the template: the film, the space after an early stop, and the final image."""
    picture, stop = film.picture, film.picture.stop
    frames, end = reel.shown[film.path]
    width = frames.width_at(reel.height) if frames else reel.widest
    image = f"{spoken(case.prompt)}, seed {case.seed}, {film.column.heading}"
    return _link(film, home) | {
        "best": film.column.best,
        "src": frames and frames.uri,
        "width": width,
        "stop": stop,
        "space": reel.widest - width,
        "end": end and end.uri,
        "end_width": end.width_at(reel.height) if end else reel.height,
        "end_href": film.image and link_to(film.image, home),
        "alt": f"The denoising of {image}" + (f": {stop.where}" if stop else ""),
        "end_alt": f"{image}: {picture.verdict}",
        "title": f"{film.column.heading} · seed {case.seed}\n{picture.said}",
    }
