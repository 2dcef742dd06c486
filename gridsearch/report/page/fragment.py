"""The answer as a fragment of HTML for notebooks: no script, no style sheet, pictures inside."""

from gridsearch.base.words import parameter_text, shorten
from gridsearch.report.colours import chip
from gridsearch.report.grid import CaseRow, GridColumn, build_grid
from gridsearch.report.page.environment import environment
from gridsearch.report.thumbs import at_height
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

MAX_COLUMNS = 9  # that fit beside one another in a notebook
SIDE = 128  # px, of a thumbnail's height


def fragment(results: Results, answer: Answer) -> str:
    """Return the sentence, and one case along the ratio with the survivors at each, as escaped HTML."""
    cells, prompt = [], None
    if answer.best is not None:
        columns, case = build_grid(results, answer).along(answer.best.trial, MAX_COLUMNS)
        if case is not None:
            cells = [_cell(results, column, case) for column in columns]
            prompt = f"{shorten(case.prompt, 80)}, seed {case.seed}"
    done = f"{answer.complete + answer.stopped} of {answer.planned} trials"
    template = environment().get_template("fragment.html.j2")
    return template.render(
        name=results.name,
        sentence=answer.sentence,
        counts=f"{done}, {len(results.images)} images",
        axis=parameter_text(answer.main or "trial"),
        prompt=prompt,
        cells=cells,
    )


def _cell(results: Results, column: GridColumn, case: CaseRow) -> dict:
    picture = column.pictures.get(case.id)
    path = picture and path_in(results.folder, picture.file)
    thumb = path and at_height(path, SIDE, results.folder)
    survived, defect = column.detail
    return chip(picture.verdict if picture else "") | {
        "heading": column.heading,
        "best": column.best,
        "src": thumb and thumb.uri,
        "survived": survived,
        "defect": defect.removeprefix("defect "),
    }
