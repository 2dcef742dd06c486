"""The map of two searched numbers."""

import pandas as pd
import pytest

from gridsearch.report.figures.figure import figures
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results, results_of


def test_a_search_of_two_numbers_has_a_map_of_what_survives(tmp_path):
    once = make_results(tmp_path, ratios=(0.1, 0.5, 0.9), prompts=("a", "b"), seeds=(1, 2))
    low, high = once.images.assign(**{"render.cfg": 4.0}), once.images.assign(**{"render.cfg": 7.0})
    high = high.assign(trial=high["trial"] + len(once.trials), verdict="burnt")
    images = pd.concat([low, high], ignore_index=True)
    results = results_of(tmp_path, images, ("ratio", "render.cfg"), once.references)
    answer = analyse(results)
    (found,) = [one for one in figures(results, answer) if one.id == "pairs"]
    cells, ring = found.data
    assert (cells["x"], cells["y"]) == (["0.10", "0.50", "0.90"], ["4", "7"])
    sound = once.images["verdict"].eq("ok").groupby(once.images["ratio"]).mean()
    assert cells["z"] == [pytest.approx(sound.tolist()), [0.0, 0.0, 0.0]]
    assert (ring["x"], ring["y"]) == ([f"{answer.best.ratio:.2f}"], ["4"])


def test_one_number_or_a_choice_has_none(sweep, modes):
    for results in (sweep, modes):
        assert "pairs" not in {one.id for one in figures(results, analyse(results))}
