"""report.html: one file that opens offline, with the answer on top and every image below."""

import json
from functools import partial
from pathlib import Path

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gridsearch.files import write_atomic
from gridsearch.report.answer import Answer
from gridsearch.report.best import plain
from gridsearch.report.figures import sections
from gridsearch.report.films import film_section
from gridsearch.report.grid import Column, Grid, build_grid
from gridsearch.report.labels import parameter_text, slice_text, text_on, verdict_colour
from gridsearch.report.leaders import front_rows, leader_rows, neighbour_rows
from gridsearch.report.links import address, within
from gridsearch.report.passages import commands, edges, facts, failures, slice_rows, trial_table
from gridsearch.report.results import Results
from gridsearch.report.sentence import lede_text, take_text
from gridsearch.report.spacing import evenly
from gridsearch.report.stops import savings_text
from gridsearch.report.thumbs import data_uri, thumbnail_side

STRIP = 11  # pictures in the strip under the answer


def write_report(results: Results, answer: Answer, path: Path) -> None:
    """Write the report. Prompts, names and reasons are text from outside: the template escapes them all."""
    write_atomic(path, report_html(results, answer, path.parent))


def report_html(results: Results, answer: Answer, home: Path) -> str:
    """The page's text; full-size images are linked relative to `home`, the folder it will lie in."""
    grid = None if results.images.empty and results.references.empty else build_grid(results, answer)
    picture = partial(_picture, results.folder, home, _thumbnails(grid, results.folder))
    drawn = sections(results, answer)
    sheet = results.folder / "sheet.png"
    return _template().render(
        name=results.name,
        headline=take_text(answer),
        lede=lede_text(answer),
        answer=answer,
        counts=_counts(results, answer),
        facts=facts(results, answer),
        commands=commands(results, answer),
        strip=_strip(grid, answer, picture) if grid else None,
        sections=drawn,
        figures_json=plain(
            [
                {key: figure[key] for key in ("id", "data", "layout", "along")}
                for section in drawn
                for figure in section["figures"]
            ]
        ),
        alarms=answer.alarms,
        checks=answer.checks,
        leaders=leader_rows(results, answer),
        front=front_rows(results, answer),
        nearby=neighbour_rows(results, answer),
        given_up=[slice_text(settings) for settings in answer.given_up],
        grid=_table(grid, picture) if grid else None,
        films=film_section(grid, answer.best and answer.best.trial, results.folder, home) if grid else None,
        axis=parameter_text(answer.main or "trial"),
        slices=slice_rows(answer) if len(answer.slices) + len(answer.given_up) > 1 else (),
        edges=edges(results, answer),
        failures=failures(results),
        savings=savings_text(results.images),
        provenance=results.provenance,
        trials=trial_table(results, answer),
        settings=json.dumps(plain(results.settings), indent=2, ensure_ascii=False),
        models=plain(results.models),
        versions=results.versions,
        sheet=address(sheet, home) if sheet.is_file() else None,
        plotly=Markup(get_plotlyjs()),  # the library's own source; nothing of the run is in it
    )


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("gridsearch.report", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2")


def _counts(results: Results, answer: Answer) -> str:
    images = f"{len(results.images)} images"
    stopped = f", {answer.stopped} of them stopped early" if answer.stopped else ""
    done = answer.complete + answer.stopped
    if answer.finished:
        return f"{done} trials{stopped}, {images}"
    return f"{done} of {answer.planned} trials so far{stopped}, {images}"


def _thumbnails(grid: Grid | None, folder: Path) -> dict[str, str | None]:
    """Every picture's thumbnail by its file, made once."""
    groups = grid.groups if grid else ()
    files = [p.file for group in groups for column in group.columns for p in column.pictures.values()]
    side = thumbnail_side(len(files))
    paths = {file: within(folder, file) for file in files}
    return {file: path and data_uri(path, side) for file, path in paths.items()}


def _picture(folder: Path, home: Path, thumbnails: dict, column: Column, case) -> dict | None:
    """What the template needs of one cell; None where nothing was rendered."""
    picture = column.pictures.get(case.key)
    if picture is None:
        return None
    colour = verdict_colour(picture.verdict)
    file = within(folder, picture.file)
    return {
        "heading": column.heading,
        "best": column.best,
        "verdict": picture.verdict,
        "colour": colour,
        "ink": text_on(colour),
        "src": thumbnails[picture.file],
        "href": file and address(file, home),
        "alt": f"{case.prompt}, seed {case.seed}, {column.heading}: {picture.verdict}",
        "title": f"{column.heading} · seed {case.seed}\n{picture.said}\ndefect {picture.defect:.3g}",
    }


def _table(grid: Grid, picture) -> dict:
    """The grid as rows of cells; a column opens its group where a thicker gap belongs before it."""
    columns = [
        {"column": column, "opens": i == 0 and g > 0, "best": column.best, "reference": column.trial is None}
        for g, group in enumerate(grid.groups)
        for i, column in enumerate(group.columns)
    ]
    rows = [
        {
            "case": case,
            "first": i == 0 or grid.cases[i - 1].prompt_id != case.prompt_id,
            "apart": case.held_out and (i == 0 or not grid.cases[i - 1].held_out),
            "cells": [
                {
                    "picture": picture(item["column"], case),
                    "opens": item["opens"],
                    "best": item["best"],
                    "missing": item["column"].why_missing(case),
                }
                for item in columns
            ],
        }
        for i, case in enumerate(grid.cases)
    ]
    return {"groups": grid.groups, "columns": columns, "rows": rows}


def _strip(grid: Grid, answer: Answer, picture) -> dict | None:
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
    shown = [columns[i] for i in evenly(len(columns), STRIP, best)]
    sound = [case for case in grid.cases if (p := columns[best].pictures.get(case.key)) and p.verdict == "ok"]
    case = (sound or grid.cases)[0]
    pictures = [found for column in shown if (found := picture(column, case))]
    return {"case": case, "pictures": pictures}
