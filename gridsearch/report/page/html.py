"""Writing report.html: one file that opens offline, with the answer on top and every image below."""

import json
from datetime import datetime
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gridsearch.base.files import write_atomic
from gridsearch.base.words import parameter_text, slice_text
from gridsearch.report.figures.along_ratio import prompt_names
from gridsearch.report.figures.figure import sections
from gridsearch.report.grid import build_grid, savings_text
from gridsearch.report.page.cells import pictures_of, strip, table
from gridsearch.report.page.comparer import comparer
from gridsearch.report.page.environment import environment, link_to
from gridsearch.report.page.films import film_section
from gridsearch.report.page.leaders import front_rows, leader_rows, neighbour_rows
from gridsearch.report.page.tables import commands, edges, facts, failures, slice_rows, trial_table
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.sentence import lede_text, take_text
from gridsearch.results.results import Results
from gridsearch.results.store.trials import json_safe

FIGURE_KEYS = ("id", "data", "layout", "along", "prompts")  # of a figure, for the page's script


def write_report(results: Results, answer: Answer, path: Path) -> None:
    """Write the report. Prompts, names and reasons are text from outside; the template escapes them all."""
    write_atomic(path, report_html(results, answer, path.parent))


def report_html(results: Results, answer: Answer, home: Path) -> str:
    """Return the page's text; full-size images are linked relative to `home`, the page's folder."""
    parts = sections(results, answer)
    sheet = results.folder / "sheet.png"
    images = _images(results, answer, home)
    figures = [{key: getattr(one, key) for key in FIGURE_KEYS} for part in parts for one in part["figures"]]
    data = {"figures": figures, "prompts": prompt_names(results), "compare": images["compare"]}
    template = environment().get_template("report.html.j2")
    return template.render(
        name=results.name,
        headline=take_text(answer),
        lede=lede_text(answer),
        answer=answer,
        counts=_counts(results, answer),
        written=None if answer.finished else datetime.now().astimezone(),
        facts=facts(results, answer),
        commands=commands(results, answer),
        sections=parts,
        data=json_safe(data),
        alarms=answer.alarms,
        checks=answer.checks,
        leaders=leader_rows(results, answer),
        front=front_rows(results, answer),
        nearby=neighbour_rows(results, answer),
        given_up=[slice_text(settings) for settings in answer.given_up],
        **images,
        axis=parameter_text(answer.main or "trial"),
        slices=slice_rows(answer) if len(answer.slices) + len(answer.given_up) > 1 else (),
        edges=edges(results, answer),
        failures=failures(results),
        savings=savings_text(results.images),
        provenance=results.facts.drawing.get("settings"),
        trials=trial_table(results, answer),
        settings=json.dumps(json_safe(results.settings), indent=2, ensure_ascii=False),
        models=json_safe(results.facts.models),
        versions=results.facts.versions,
        sheet=link_to(sheet, home) if sheet.is_file() else None,
        plotly=Markup(get_plotlyjs()),  # the library's own source; nothing of the run is in it
    )


def _images(results: Results, answer: Answer, home: Path) -> dict:
    """Return the parts with images: strip, comparer, grid and films; all None without any image."""
    if results.images.empty and results.references.empty:
        return dict.fromkeys(("strip", "compare", "grid", "films"))
    grid = build_grid(results, answer)
    pictures = pictures_of(grid, results, home)
    return {
        "strip": strip(grid, answer, pictures),
        "compare": comparer(grid, answer),
        "grid": table(grid, pictures),
        "films": film_section(grid, answer.best.trial if answer.best else None, results.folder, home),
    }


def _counts(results: Results, answer: Answer) -> str:
    stopped = f", {answer.stopped} of them stopped early" if answer.stopped else ""
    done = answer.complete + answer.stopped
    trials = f"{done} trials" if answer.finished else f"{done} of {answer.planned} trials so far"
    return f"{trials}{stopped}, {len(results.images)} images"
