"""The answer as a piece of a page, as notebooks show it: no script, no style sheet, pictures inside."""

import jinja2

from gridsearch.base.words import parameter_text, shorten
from gridsearch.report.colours import text_on, verdict_colour
from gridsearch.report.grid import CaseRow, GridColumn, build_grid, evenly
from gridsearch.report.thumbs import at_height
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

MAX_COLUMNS = 9  # columns: what fits beside one another in a notebook
SIDE = 128  # px, of a thumbnail's height


def fragment(results: Results, answer: Answer) -> str:
    """The sentence, and one case along the ratio with what survived at each: HTML, all texts escaped."""
    columns, case = _along(results, answer)
    loader = jinja2.PackageLoader("gridsearch.report.page", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("fragment.html.j2").render(
        name=results.name,
        sentence=answer.sentence,
        counts=f"{answer.complete + answer.stopped} of {answer.planned} trials, {len(results.images)} images",
        axis=parameter_text(answer.main or "trial"),
        prompt=case and f"{shorten(case.prompt, 80)}, seed {case.seed}",
        cells=[_cell(results, column, case) for column in columns],
    )


def _along(results: Results, answer: Answer) -> tuple[list[GridColumn], CaseRow | None]:
    """Columns of the best slice, thinned evenly, and a case that is sound in the best one where any is.

    None of either where no best is known, or no picture of it.
    """
    if answer.best is None:
        return [], None
    grid = build_grid(results, answer)
    trial = answer.best.trial
    columns = next((g.columns for g in grid.groups if any(c.trial == trial for c in g.columns)), ())
    if not columns:
        return [], None
    best = next(i for i, column in enumerate(columns) if column.trial == trial)
    shown = [columns[i] for i in evenly(len(columns), MAX_COLUMNS, best)]
    drawn = columns[best].pictures
    sound = (case for case in grid.cases if case.id in drawn and drawn[case.id].verdict == "ok")
    return shown, next(sound, grid.cases[0])


def _cell(results: Results, column: GridColumn, case: CaseRow) -> dict:
    picture = column.pictures.get(case.id)
    path = picture and path_in(results.folder, picture.file)
    thumb = path and at_height(path, SIDE, results.folder)
    verdict = picture.verdict if picture else ""
    colour = verdict_colour(verdict)
    survived, defect = column.detail
    return {
        "heading": column.heading,
        "best": column.best,
        "src": thumb and thumb.uri,
        "verdict": verdict,
        "colour": colour,
        "ink": text_on(colour),
        "survived": survived,
        "defect": defect.removeprefix("defect "),
    }
