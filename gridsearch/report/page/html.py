"""The answer as HTML: report.html, one file that opens offline, and a fragment of it for notebooks."""

import json
from datetime import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gridsearch.base.files import write_atomic
from gridsearch.base.words import defect_text, metric_text, percent_text, shorten, slice_text
from gridsearch.report.cells import CaseRow, GridColumn
from gridsearch.report.colours import chip
from gridsearch.report.crossed import scattered_text
from gridsearch.report.figures.along_ratio import prompt_names
from gridsearch.report.figures.figure import sections
from gridsearch.report.grid import MOST_CELLS, build_grid, savings_text
from gridsearch.report.page import facts, tables
from gridsearch.report.page.axes import axes
from gridsearch.report.page.comparer import axis_text, comparer
from gridsearch.report.page.draw_with import by_hand, carried
from gridsearch.report.page.images import film_section, link_to, pictures_of, strip, table
from gridsearch.report.thumbs import at_height
from gridsearch.results.analysis.analyse import block_ends
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.sentence import half_text, headline_text, lede_text
from gridsearch.results.results import Results
from gridsearch.results.store.paths import EXPERIMENT, path_in, without_folders
from gridsearch.results.store.trials import json_safe

FIGURE_KEYS = ("id", "data", "layout", "along", "prompts")  # of a figure, for the page's script
MAX_COLUMNS = 9  # that fit beside one another in a notebook
SIDE = 128  # px, of a thumbnail's height in a notebook

# Prompts, names and reasons are text from outside; the templates escape them all.
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gridsearch.report.page", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["percent"] = percent_text
TEMPLATES.filters["whole_words"] = lambda command: Markup(" ").join(
    Markup("<span>{}</span>").format(word) for word in command.split(" ")
)
TEMPLATES.filters["metric"] = metric_text
TEMPLATES.filters["defect"] = defect_text


def write_report(results: Results, answer: Answer, path: Path) -> None:
    """Write the report."""
    write_atomic(path, report_html(results, answer, path.parent))


def report_html(results: Results, answer: Answer, home: Path) -> str:
    """Return the page's text; full-size images are linked relative to `home`, the page's folder."""
    parts = sections(results, answer)
    sheet, experiment = results.folder / "sheet.png", results.folder / EXPERIMENT
    images = _images(results, answer, home)
    figures = [{key: getattr(one, key) for key in FIGURE_KEYS} for part in parts for one in part["figures"]]
    told = {key: images[key] for key in ("compare", "axes")}
    data = {"figures": figures, "prompts": prompt_names(results), **told}
    return TEMPLATES.get_template("report.html.j2").render(
        results=results,
        headline=headline_text(answer),
        lede=lede_text(answer),
        answer=answer,
        counts=_counts(results, answer),
        written=None if answer.finished else datetime.now().astimezone(),
        cards=facts.cards(results, answer),
        numbers=facts.all_facts(results, answer),
        commands=tables.commands(results, answer),
        by_hand=by_hand(results, answer) if answer.file else "",
        carried=carried(results, answer) if answer.file else "",
        pair=tables.pair(results, answer),
        time_note=tables.time_note(results, answer),
        half=half_text(answer),
        ends=block_ends(results, answer),
        sections=parts,
        data=json_safe(data),
        leaders=tables.leader_rows(results, answer),
        front=tables.front_rows(results, answer),
        nearby=tables.neighbour_rows(results, answer),
        given_up=[slice_text(settings) for settings in answer.given_up],
        **images,
        axis=axis_text(answer),
        slices=tables.slice_rows(results, answer) if len(answer.slices) + len(answer.given_up) > 1 else (),
        edges=tables.edges(results, answer),
        failures=tables.failures(results),
        savings=savings_text(results.images),
        provenance=results.facts.drawing.get("settings"),
        trials=tables.trial_table(results, answer),
        settings=json.dumps(json_safe(without_folders(results.settings)), indent=2, ensure_ascii=False),
        models=json_safe(without_folders(results.facts.models)),
        sheet=link_to(sheet, home) if sheet.is_file() else None,
        experiment=link_to(experiment, home) if experiment.is_file() else None,
        plotly=Markup(get_plotlyjs()),  # the library's own source; nothing of the run is in it
    )


def _images(results: Results, answer: Answer, home: Path) -> dict:
    """Return the parts with images: strip, comparer, grid and films; all None without any image."""
    if results.images.empty and results.references.empty:
        return dict.fromkeys(("strip", "compare", "axes", "grid", "left_out", "films"))
    grid = build_grid(results, answer, most=MOST_CELLS)
    pictures = pictures_of(grid, results, home)
    return {
        "strip": strip(grid, results, answer, pictures),
        "compare": comparer(grid, answer),
        "axes": axes(grid, results, answer),
        "grid": table(grid, pictures),
        "left_out": [*grid.notes, *filter(None, [scattered_text(results)])],
        "films": film_section(grid, answer.best.trial if answer.best else None, results.folder, home),
    }


def _counts(results: Results, answer: Answer) -> str:
    stopped = f", {answer.stopped} of them stopped early" if answer.stopped else ""
    done = answer.complete + answer.stopped
    trials = f"{done} trials" if answer.finished else f"{done} of {answer.planned} trials so far"
    return f"{trials}{stopped}, {len(results.images)} images"


def fragment(results: Results, answer: Answer) -> str:
    """Return the sentence, and one case along the ratio with the survivors at each, as escaped HTML.

    It has neither script nor style sheet, and its pictures are inside.
    """
    cells, prompt = [], None
    if answer.best is not None:
        grid = build_grid(results, answer, most=MOST_CELLS)
        columns, case = grid.along(answer.best.trial, MAX_COLUMNS, answer.tied)
        if case is not None:
            cells = [_cell(results, column, case) for column in columns]
            prompt = f"{shorten(case.prompt, 80)}, seed {case.seed}"
    done = f"{answer.complete + answer.stopped} of {answer.planned} trials"
    return TEMPLATES.get_template("fragment.html.j2").render(
        name=results.name,
        sentence=answer.sentence,
        counts=f"{done}, {len(results.images)} images",
        axis=axis_text(answer),
        prompt=prompt,
        cells=cells,
    )


def _cell(results: Results, column: GridColumn, case: CaseRow) -> dict:
    picture = column.pictures.get(case.id)
    path = path_in(results.folder, picture.file) if picture else None
    thumb = at_height(path, SIDE, results.folder)
    survived, defect = column.detail
    return chip(picture.verdict if picture else "") | {
        "heading": column.heading,
        "best": column.best,
        "src": thumb and thumb.uri,
        "survived": survived,
        "defect": defect.removeprefix("defect "),
    }
