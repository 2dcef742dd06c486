"""Which trial stands where several were drawn at one place, and which are shown of many."""

from dataclasses import replace
from itertools import pairwise

import pandas as pd

from gridsearch.report.few import spread
from gridsearch.report.grid import build_grid
from gridsearch.report.page import html, tables
from gridsearch.report.page.comparer import comparer
from gridsearch.report.page.html import fragment, write_report
from gridsearch.report.page.images import pictures_of, strip
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from tests.helpers.made_up import make_results, results_of, with_facts
from tests.helpers.stored import stored_run


def drawn_twice(folder):
    """A run, and the same one whose sampler asked for each of its ratios once more."""
    once = make_results(folder, ratios=(0.3, 0.5, 0.9), prompts=("a", "b"), seeds=(1,))
    again = once.images.assign(trial=once.images["trial"] + len(once.trials))
    images = pd.concat([once.images, again], ignore_index=True)
    return once, with_facts(results_of(folder, images, ("ratio",), once.references), experiment=once.settings)


def test_the_recommended_trial_keeps_its_place_from_its_copy(tmp_path):
    _, twice = drawn_twice(tmp_path)
    answer = analyse(twice)
    assert answer.best.trial == 1
    grid = build_grid(twice, answer)
    columns = grid.groups[1].columns
    assert [(c.value, c.trial, c.best) for c in columns] == [(0.3, 3, False), (0.5, 1, True), (0.9, 5, False)]

    told = comparer(grid, answer)
    assert told["columns"][told["start"]["column"]]["mark"] == "recommended"
    shown = strip(grid, twice, answer, pictures_of(grid, twice, tmp_path))["pictures"]
    marked = [cell["best"] for cell in shown]
    assert marked == [False, True, False]


def test_a_notebook_shows_it_with_the_copy_as_without(tmp_path):
    once, twice = drawn_twice(tmp_path)
    assert fragment(twice, analyse(twice)).count("<img") == fragment(once, analyse(once)).count("<img") == 3
    answer = analyse(twice)
    lost = replace(twice, images=twice.images[twice.images["trial"] != answer.best.trial])
    assert "<img" not in fragment(lost, answer)


def test_of_a_large_run_a_part_is_shown_with_the_best_in_it_and_it_says_so(tmp_path, monkeypatch):
    results = load_results(stored_run(tmp_path / "run"))
    answer = analyse(results)
    whole = build_grid(results, answer)
    assert whole.notes == ()
    part = build_grid(results, answer, most=3 * len(whole.cases))
    trials = [column for column in part.columns if not column.is_reference]
    assert [column.value for column in trials] == [0.0, 0.5, 1.0]
    assert [column.best for column in trials] == [c.best for c in whole.columns if c.value in (0.0, 0.5, 1.0)]
    assert "3 of 5 columns are shown" in part.notes[0]

    monkeypatch.setattr(html, "MOST_CELLS", 3 * len(whole.cases))
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    write_report(results, answer, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert part.notes[0] in page
    assert "The best 2 are shown; the other 3 are in trials.csv" in page


def test_pictures_along_a_ratio_are_spread_evenly_beside_the_best_and_its_rivals():
    crowded = [0.0, 0.1, 0.2, 0.3, *(0.4 + i / 100 for i in range(20)), 0.6, 0.7, 0.8, 0.9, 1.0]
    shown = [crowded[i] for i in spread(crowded, 11, [10, 12])]
    assert {0.0, 1.0, crowded[10], crowded[12]} <= set(shown)
    assert len(shown) == 11
    assert max(b - a for a, b in pairwise(shown)) < 0.2  # by their numbers most would lie between 0.4 and 0.6
    assert spread([1.0, 2.0], 11, [1]) == [0, 1]
