"""A figure is added by a file in the folder of figures, as docs/extend.md says, and by nothing else."""

import re
import sys
from dataclasses import replace

import pytest

from gridsearch.report import figures as folder
from gridsearch.report.figures.figure import FIGURES, SECTIONS, figures
from gridsearch.report.page.html import report_html
from gridsearch.results.analysis.analyse import analyse
from tests.docs.pages import REPOSITORY, blocks


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The example of the page as a file of the folder."""
    examples = [block.text for block in blocks(REPOSITORY / "docs" / "extend.md")]
    (example,) = [text for text in examples if "@adds_figures" in text]
    (tmp_path / "seconds_of_a_test.py").write_text(example)
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    yield
    name = "gridsearch.report.figures.seconds_of_a_test"
    FIGURES[:] = [function for function in FIGURES if function.__module__ != name]
    sys.modules.pop(name, None)


def test_a_file_in_the_folder_is_a_figure_on_the_page(sweep, added):
    timed = sweep.trials.assign(seconds_render=range(len(sweep.trials)))
    sweep = replace(sweep, trials=timed)
    answer = analyse(sweep)
    (found,) = [one for one in figures(sweep, answer) if one.id == "seconds"]
    assert found.data[0]["y"] == list(range(len(sweep.trials)))
    html = report_html(sweep, answer, sweep.folder)
    assert re.search(
        r'<h2 id="influence">What matters</h2>.*<div class="plot" id="plot-seconds"', html, re.DOTALL
    )


def test_every_figure_stands_in_a_section_that_there_is(sweep, modes):
    for results in (sweep, modes):
        found = figures(results, analyse(results))
        assert {one.section for one in found} <= set(SECTIONS)
        assert len({one.id for one in found}) == len(found)


def test_the_legend_is_hatched_for_no_verdict_where_only_some_bars_are(sweep):
    """Plotly gives the legend the pattern of a trace's first bar."""
    answer = analyse(sweep)
    lowest = float(sweep.trials["ratio"].min())
    slices = tuple(replace(found, estimated=(lowest,)) for found in answer.slices)
    drawn = figures(sweep, replace(answer, slices=slices))
    (figure,) = [one for one in drawn if one.id == "verdicts-0"]
    for bar in figure.data:
        shapes = dict(zip(bar["x"], bar["marker"]["pattern"]["shape"], strict=True))
        assert shapes.pop(lowest) == "/"
        assert bar["marker"]["pattern"]["shape"][0] == ""
        assert set(shapes.values()) == {""}
