"""How the pictures came about: case by case a film strip per ratio and what it led to, as many as fit a page.

The first seed of every prompt comes before any second one, so that what is left out is a seed before it is a
prompt. Whatever is not shown is a link to its file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridsearch.report.colours import spoken, text_on, verdict_colour
from gridsearch.report.grid import CaseRow, Grid, GridColumn, Picture, evenly
from gridsearch.report.page.links import link_to
from gridsearch.report.thumbs import Thumb, at_height
from gridsearch.results.store.paths import path_in

FILM_BYTES = 3_000_000  # bytes for all films of a report
HEIGHTS = (96, 64)  # px; 96 as they are stored, 64 where a page of those cannot hold them all
STRIPS = 24  # shown of one case, beside the references; more are too alike to be worth their bytes
ON_SCREEN = 76  # px, the height of a frame where there is room


@dataclass(frozen=True)
class Film:
    """One film that was kept: whose it is, and where."""

    column: GridColumn
    picture: Picture
    path: Path
    image: Path | None  # what it led to; None where its name leads elsewhere

    @property
    def is_reference(self) -> bool:
        return self.column.trial is None


@dataclass(frozen=True)
class Shown:
    """What the page carries, `height` px high: films and what they led to, by the film's path.

    A value is None where the file is gone or is no image.
    """

    height: int
    films: dict[Path, Thumb | None]
    ends: dict[Path, Thumb | None]

    @property
    def widest(self) -> int:
        return max((thumb.width_at(self.height) for thumb in self.films.values() if thumb), default=0)


def film_section(grid: Grid, best: int | None, folder: Path, home: Path) -> dict | None:
    """What the template needs; None where no film was kept.

    Args:
        best: the recommended trial, always among those shown.
        home: the folder that the page will lie in.
    """
    kept = {case: films for case in grid.cases if (films := _kept(grid, case, folder))}
    chosen = {case: evenly_chosen(films, best) for case, films in kept.items()}
    shown = _fit([chosen[case] for case in _seed_by_seed(kept)], folder)
    if not shown.widest:
        return None
    total = sum(len(films) for films in kept.values())
    return {
        "cases": [_case(grid, case, films, shown, home) for case, films in kept.items()],
        "left_out": total - len(shown.films),
        "total": total,
        "width": round(shown.widest * ON_SCREEN / shown.height),
    }


def _kept(grid: Grid, case: CaseRow, folder: Path) -> list[Film]:
    """A case's films, references first and then along the ratio."""
    columns = [column for group in grid.groups for column in group.columns]
    found = [(column, column.pictures[case.id]) for column in columns if case.id in column.pictures]
    return [
        Film(column, picture, path, path_in(folder, picture.file))
        for column, picture in found
        if picture.film and (path := path_in(folder, picture.film))
    ]


def _seed_by_seed(cases: Iterable[CaseRow]) -> list[CaseRow]:
    """The first case of every prompt, then every second one, and so on."""
    seen: dict[str, int] = {}
    turns = {}
    for case in cases:
        turns[case] = seen[case.prompt_id] = seen.get(case.prompt_id, 0) + 1
    return sorted(turns, key=turns.get)


def evenly_chosen(films: Sequence[Film], best: int | None) -> list[Film]:
    """All references, and STRIPS of the others: both ends, the best, and evenly spaced ones."""
    trials = [film for film in films if not film.is_reference]
    kept = next((i for i, film in enumerate(trials) if film.column.trial == best), None)
    chosen = [trials[i] for i in evenly(len(trials), STRIPS, kept)]
    return [film for film in films if film.is_reference] + chosen


def _fit(cases: Sequence[Sequence[Film]], folder: Path) -> Shown:
    """As many whole cases as there is room for, at the greatest height that holds all."""
    for height in HEIGHTS:
        shown = _fill(cases, height, folder)
        if len(shown.films) == sum(len(films) for films in cases):
            break
    return shown


def _fill(cases: Sequence[Sequence[Film]], height: int, folder: Path) -> Shown:
    """Case by case until the room is used up."""
    shown, left = Shown(height, {}, {}), FILM_BYTES
    for films in cases:
        made = {kept.path: at_height(kept.path, height, folder) for kept in films}
        ends = {kept.path: kept.image and at_height(kept.image, height, folder) for kept in films}
        left -= sum(len(thumb.uri) for thumb in (*made.values(), *ends.values()) if thumb)
        if left < 0:
            break
        shown.films.update(made)
        shown.ends.update(ends)
    return shown


def _case(grid: Grid, case: CaseRow, films: list[Film], shown: Shown, home: Path) -> dict:
    groups = []
    for group in grid.groups:
        mine = [kept for kept in films if any(kept.column is column for column in group.columns)]
        strips = [_strip(kept, case, shown, home) for kept in mine if kept.path in shown.films]
        rest = [_link(kept, home) for kept in mine if kept.path not in shown.films]
        if mine:
            groups.append({"heading": group.heading, "strips": strips, "rest": rest})
    verdicts = [kept.picture.verdict for kept in films if not kept.is_reference]
    return {"case": case, "groups": groups, "beads": [verdict_colour(verdict) for verdict in verdicts]}


def _link(kept: Film, home: Path) -> dict:
    return {
        "heading": kept.column.heading,
        "verdict": kept.picture.verdict,
        "href": link_to(kept.path, home),
    }


def _strip(kept: Film, case: CaseRow, shown: Shown, home: Path) -> dict:
    """One line: the film, the room that it leaves where it was stopped, and the picture it led to."""
    picture, stop = kept.picture, kept.picture.stop
    colour = verdict_colour(picture.verdict)
    film, end = shown.films[kept.path], shown.ends[kept.path]
    width = film.width_at(shown.height) if film else shown.widest
    whose = f"{spoken(case.prompt)}, seed {case.seed}, {kept.column.heading}"
    return _link(kept, home) | {
        "best": kept.column.best,
        "colour": colour,
        "ink": text_on(colour),
        "src": film and film.uri,
        "width": width,
        "stop": stop,
        "room": shown.widest - width,
        "end": end and end.uri,
        "end_width": end.width_at(shown.height) if end else shown.height,
        "end_href": kept.image and link_to(kept.image, home),
        "alt": f"How {whose} came about" + (f": {stop.where}" if stop else ""),
        "end_alt": f"{whose}: {picture.verdict}",
        "title": f"{kept.column.heading} · seed {case.seed}\n{picture.said}",
    }
