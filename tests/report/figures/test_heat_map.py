"""The map of two searched numbers."""

import pandas as pd
import pytest

from gridsearch.report.crossed import scattered_text
from gridsearch.report.figures.figure import figures
from gridsearch.report.grid import build_grid
from gridsearch.report.page.axes import axes
from gridsearch.report.page.images import pictures_of, strip
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results, results_of, with_facts


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


def test_scattered_pairs_are_dots_and_the_report_says_why_the_sheet_has_no_axes(tmp_path):
    once = make_results(tmp_path, ratios=(0.1, 0.3, 0.5, 0.7, 0.9), prompts=("a", "b"), seeds=(1,))
    cfg = 4.0 + once.images["trial"]
    both = results_of(
        tmp_path, once.images.assign(**{"render.cfg": cfg}), ("ratio", "render.cfg"), once.references
    )
    settings = once.settings | {"search": {"sampler": "gp"}}
    settings["render"] = settings["render"] | {"cfg": {"low": 4, "high": 8, "step": 0.5}}
    results = with_facts(both, experiment=settings)
    answer = analyse(results)
    (found,) = [one for one in figures(results, answer) if one.id == "pairs"]
    dots, ring = found.data
    assert (dots["x"], dots["y"]) == ([0.1, 0.3, 0.5, 0.7, 0.9], [4.0, 5.0, 6.0, 7.0, 8.0])
    assert dots["marker"]["color"] == pytest.approx(results.trials["defect"].tolist())
    best = answer.best.trial
    assert (ring["x"], ring["y"]) == ([[0.1, 0.3, 0.5, 0.7, 0.9][best]], [4.0 + best])
    assert scattered_text(results).startswith("5 of the 25 pairs of ratio and cfg were tried, too few")
    grid = build_grid(results, answer)
    first = f"{answer.parameters['ratio']:.2f} / cfg {4 + best}"
    assert grid.groups[-1].columns[0].heading == first
    assert axes(grid, results, answer)["names"][1]["values"] == ["4", "5", "6", "7", "8"]
    own = strip(grid, results, answer, pictures_of(grid, results, tmp_path))
    assert own["caption"] == f"The first prompt by base and burnt alone, then each prompt by {first}"
    shown = [(cell["under"], cell["best"]) for cell in own["pictures"]]
    assert shown == [("base alone", False), ("burnt alone", False), ("p1", True), ("p2", True)]
    assert answer.file == f"{results.name}-ratio-{first.replace(' / cfg ', '-cfg-')}.safetensors"


def test_one_number_or_a_choice_has_none(sweep, modes):
    for results in (sweep, modes):
        assert "pairs" not in {one.id for one in figures(results, analyse(results))}
