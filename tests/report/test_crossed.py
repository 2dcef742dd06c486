"""Two searched values as the axes of a sheet: where each picture lies, and which names are refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.render.pictures import png_bytes
from gridsearch.report.crossed import sheet_grid
from gridsearch.report.sheet import layout
from gridsearch.report.sheet.xyz import write_grids
from tests.helpers.made_up import make_results, results_of

SAID = "a\nSteps: 20, CFG scale: 4, Seed: 1, Size: 64x64"
RATIOS, CFGS = (0.1, 0.5, 0.9), (7.0, 4.0)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run over three ratios and two values of cfg, of two prompts with two seeds each."""
    folder = tmp_path_factory.mktemp("both")
    once = make_results(folder, ratios=RATIOS, prompts=("a", "b"), seeds=(1, 2))
    parts = [
        once.images.assign(**{"render.cfg": cfg, "trial": once.images["trial"] + i * len(RATIOS)})
        for i, cfg in enumerate(CFGS)
    ]
    images = pd.concat(parts, ignore_index=True)
    images["file"] = [f"images/{i}.png" for i in images.index]
    for i, name in enumerate(images["file"]):
        (folder / name).write_bytes(png_bytes(np.full((64, 64, 3), i * 5, np.uint8), SAID))
    return results_of(folder, images, ("ratio", "render.cfg"), once.references)


def recommended(trial):
    """An answer, as far as a sheet's columns and rows depend on it."""
    return SimpleNamespace(slices=(), best=SimpleNamespace(trial=trial))


def shown(grid, row):
    """The values of the pictures of a row, by their places in the table of images."""
    return [c.pictures.get(grid.cases[row].id) for c in grid.columns if not c.is_reference]


def test_two_numbers_are_the_axes_of_each_prompt_and_seed(both):
    grid = sheet_grid(both, recommended(4))  # ratio 0.5 at cfg 4
    assert [case.setting for case in grid.cases] == ["cfg 4", "cfg 7"] * 4
    assert [(case.prompt_id, case.seed) for case in grid.cases[::2]] == [
        ("p1", 1),
        ("p1", 2),
        ("p2", 1),
        ("p2", 2),
    ]
    at = both.images.set_index(["render.cfg", "prompt_id", "seed", "ratio"])["file"]
    for row, case in enumerate(grid.cases):
        cfg = float(case.setting.split()[1])
        wanted = [at[cfg, case.prompt_id, case.seed, ratio] for ratio in RATIOS]
        assert [picture.file for picture in shown(grid, row)] == wanted
    best = [(row, i) for row in range(8) for i, picture in enumerate(shown(grid, row)) if picture.best]
    assert best == [(row, 1) for row in range(0, 8, 2)]
    parents = [case.setting for case in grid.cases if case.id in grid.columns[0].pictures]
    assert parents == ["cfg 4"] * 4


def test_axes_are_chosen_by_name_and_prompts_may_go_down(both):
    turned = sheet_grid(both, columns="render.cfg", rows="Ratio")
    assert [case.setting for case in turned.cases[:3]] == ["ratio 0.10", "ratio 0.50", "ratio 0.90"]
    assert [column.heading for column in turned.groups[-1].columns] == ["4", "7"]
    one = sheet_grid(both, columns="cfg")
    assert [group.heading for group in one.groups[1:]] == [f"ratio {r:.2f}, cfg across" for r in RATIOS]
    assert len(one.cases) == len(sheet_grid(both, rows="prompt").cases) == 4
    assert repr(sheet_grid(both, rows="cfg")) == repr(sheet_grid(both))  # they hold NaN, unequal to itself


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"rows": "cgf"}, "The nearest is 'cfg'; there are ratio, cfg."),
        ({"columns": "cfg", "rows": "cfg"}, "cfg is on both axes."),
    ],
)
def test_what_is_no_axis_is_refused(both, axes, said):
    with pytest.raises(BadInput, match=said.replace(".", r"\.")):
        sheet_grid(both, **axes)


def test_scattered_values_are_no_axes(both):
    images = both.images.assign(**{"render.cfg": 1.0 + both.images["trial"]})
    scattered = results_of(both.folder, images, both.parameters, both.references)
    assert not any(case.setting for case in sheet_grid(scattered).cases)
    with pytest.raises(BadInput, match="6 trials are scattered over 3 values of ratio and 6 values of cfg"):
        sheet_grid(scattered, rows="cfg")


def test_stopped_trials_are_left_out_of_the_sheet_unless_they_are_asked_for(tmp_path):
    results = make_results(tmp_path, ratios=RATIOS, prompts=("a", "b"), seeds=(1,))
    states = results.trials["state"].where(results.trials["ratio"] != 0.1, "PRUNED")
    raced = replace(results, trials=results.trials.assign(state=states))
    (page,) = layout.pages(sheet_grid(raced), (64, 64))
    assert [column.value for column in page.grid.groups[-1].columns] == [0.5, 0.9]
    assert page.note == "A trial stopped early is left out"
    assert [column.value for column in sheet_grid(raced, ratios=[0.1]).groups[-1].columns] == [0.1]


def test_of_many_pictures_a_part_is_shown_with_the_best_in_it_and_it_says_so(both, monkeypatch):
    parts = [both.images.assign(ratio=both.images["ratio"] / 9 + i / 9, trial=both.images["trial"] + 6 * i)
             for i in range(9)]  # fmt: skip
    images = pd.concat(parts, ignore_index=True)
    many = results_of(both.folder, images, both.parameters, both.references)
    grid = sheet_grid(many, recommended(4), most=4 * 2 * 5)
    assert len(grid.groups[-1].columns) == 5
    assert grid.notes == ("5 of 27 values of ratio are shown, evenly spaced, with the best among them.",)
    assert sum(p.best for c in grid.columns for p in c.pictures.values()) == 4
    monkeypatch.setattr(layout, "MOST_PIXELS", 1_000_000)
    overview, *rest = layout.pages(grid, (64, 64))
    rows = [(case.prompt_id, case.seed, case.setting) for case in overview.grid.cases]
    assert rows == [(prompt, 1, cfg) for prompt in ("p1", "p2") for cfg in ("cfg 4", "cfg 7")]
    assert {case.id for page in rest for case in page.grid.cases} == {case.id for case in grid.cases}


def test_a_web_ui_grid_of_each_prompt_and_seed_has_both_axes(both, tmp_path):
    files = list(write_grids(sheet_grid(both), both, None, tmp_path))
    assert len(files) == 4
    with Image.open(files[0]) as grid:
        text = grid.info["parameters"]
        pixels = np.asarray(grid)
    assert "X Type: ratio" in text
    assert 'Y Type: cfg, Y Values: "4, 7"' in text
    left, top = pixels.shape[1] - 3 * 64, pixels.shape[0] - 2 * 64
    at = both.images.set_index(["render.cfg", "prompt_id", "seed", "ratio"]).index
    reds = [[at.get_loc((cfg, "p1", 1, ratio)) * 5 for ratio in RATIOS] for cfg in (4.0, 7.0)]
    assert pixels[top::64, left::64, 0].tolist() == reds
