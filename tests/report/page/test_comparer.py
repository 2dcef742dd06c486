"""Where the comparer begins, what it says is worth a look, and how it counts."""

import json
from dataclasses import replace

import pytest

from gridsearch.report.grid import build_grid
from gridsearch.report.page.comparer import comparer
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.store.trials import json_safe
from tests.helpers.made_up import make_results


def told(results, answer=None):
    answer = answer or analyse(results)
    return comparer(build_grid(results, answer), answer)


def test_rows_and_columns_are_those_of_the_grid(sweep):
    found, grid = told(sweep), build_grid(sweep, analyse(sweep))
    columns = [column for group in grid.groups for column in group.columns]
    assert [column["heading"] for column in found["columns"]] == [column.heading for column in columns]
    verdict, defect, blur, noise, words = found["cells"][3][2]
    picture = columns[2].pictures[grid.cases[3].id]
    assert (verdict, words) == (picture.verdict, picture.reason)
    assert defect == pytest.approx(picture.defect, rel=0.005)
    assert (blur, noise) == (None, pytest.approx(picture.noise, rel=0.005))  # blank: it has no edges
    json.dumps(json_safe(found), allow_nan=False)


def test_it_begins_with_a_sound_image_of_the_recommended_ratio_and_a_parent(sweep):
    found = told(sweep)
    start = found["start"]
    assert found["columns"][start["column"]]["heading"] == "0.55"
    assert found["cells"][start["case"]][start["column"]][0] == "ok"
    assert found["columns"][start["beside"]]["reference"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_other_mode_stands_beside_at_the_same_ratio(modes, order):
    found_answer = analyse(modes)
    answer = replace(found_answer, slices=found_answer.slices[::order])
    found = told(modes, answer)
    at, beside = (found["columns"][found["start"][side]] for side in ("column", "beside"))
    assert at["value"] == beside["value"] == answer.best.ratio
    assert found["start"]["column"] != found["start"]["beside"]
    assert at["mark"] == "recommended"
    marks = [column["mark"] for column in found["columns"]]
    assert [marks.count(mark) for mark in ("recommended", "best of its mode", "a parent’s own")] == [1, 1, 2]
    headings = [found["groups"][group]["heading"] for group in found["curves"]]
    assert headings == [one.settings["render.prediction_type"] for one in answer.slices]


def test_the_first_prompts_to_fail_are_one_click_away(sweep):
    found, answer = told(sweep), analyse(sweep)
    for jump, edge in zip(found["jumps"], (answer.best.window.low, answer.best.window.high), strict=False):
        assert jump["text"].startswith(f"{edge.prompt} has the first failed image ")
        assert found["cases"][jump["case"]]["id"] == edge.prompt
        assert found["columns"][jump["column"]]["value"] == edge.prompt_at
        assert found["cells"][jump["case"]][jump["column"]][0] != "ok"


def test_a_run_that_has_but_references_shows_them(tmp_path):
    results = make_results(tmp_path, prompts=("a cat",), done=1)
    empty = replace(results, images=results.images.iloc[:0], trials=results.trials.iloc[1:])
    found = told(empty)
    assert [column["heading"] for column in found["columns"]] == ["base", "burnt"]
    assert found["jumps"] == []
    assert found["start"]["column"] == 0
