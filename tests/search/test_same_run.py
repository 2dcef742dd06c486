"""A run is resumed where nothing has changed that decides what an image is."""

from dataclasses import replace
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.search.resume import require_same_run
from tests.helpers.small_run import facts, settings

OUT = Path("results/x")


@pytest.mark.parametrize("search", [None, {"sampler": "tpe", "trials": 5}])
@pytest.mark.parametrize("free", [{"batch": 3}, {"trace": True}, {"compile": True}])
def test_what_changes_no_image_may_change(toy, search, free):
    require_same_run(facts(toy, search), facts(toy, search, free), OUT)


def test_what_is_kept_of_images_may_change(toy):
    now = facts(toy)
    images = {"format": "webp"}
    require_same_run(now, replace(now, experiment=now.experiment | {"images": images}), OUT)
    earlier = {key: value for key, value in now.experiment.items() if key != "images"}
    require_same_run(replace(now, experiment=earlier), now, OUT)


def test_a_run_of_a_version_that_had_fewer_settings_goes_on_where_those_are_off(toy):
    now = facts(toy)
    fewer = {
        key: value for key, value in now.experiment["render"].items() if key not in ("seg_scale", "schedule")
    }
    earlier = replace(now, experiment=now.experiment | {"render": fewer})
    require_same_run(earlier, now, OUT)
    with pytest.raises(BadInput, match=r"render.seg_scale \(0.0 then, 3.0 now\)"):
        require_same_run(earlier, facts(toy, render={"seg_scale": 3.0}), OUT)


@pytest.mark.parametrize("search", [None, {"sampler": "tpe", "trials": 5}])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rng": "gpu"}, "render.rng (cpu then, gpu now)"),
        ({"clip_skip": 1}, "render.clip_skip (2 then, 1 now)"),
        ({"early_abort": False}, "render.early_abort (0.4 then, 0.0 now)"),
        ({"original_width": 512}, "render.original_width (None then, 512.0 now)"),
    ],
)
def test_what_changes_images_is_named(toy, search, changed, said):
    with pytest.raises(BadInput) as refused:
        require_same_run(facts(toy, search), facts(toy, search, changed), OUT)
    assert said in "\n".join(refused.value.lines)


def test_images_of_a_version_that_drew_otherwise_are_not_mixed_with_new_ones(toy):
    now = facts(toy)
    before = replace(now, drawing={"on": "cpu float32", "components": "c0"})
    with pytest.raises(BadInput) as refused:
        require_same_run(before, now, OUT)
    assert "changed since: how pictures are drawn (1 then, 2 now)." in "\n".join(refused.value.lines)


def test_images_of_a_merge_that_was_kept_in_8_bits_are_not_mixed_with_those_of_one_that_is_not(toy):
    now = facts(toy)
    wide = replace(now, drawing=now.drawing | {"widened": ["base"]})
    require_same_run(now, replace(now, drawing=now.drawing | {"widened": []}), OUT)
    with pytest.raises(BadInput, match="changed since: the precision of 8-bit models"):
        require_same_run(now, wide, OUT)


def test_searched_numbers_of_a_grid_may_change_and_what_tpe_has_learnt_holds_for_its_own_range(toy):
    grown = {"steps": [3, 4]}
    require_same_run(facts(toy, render=grown), facts(toy, render={"steps": [3, 4, 5]}), OUT)
    tpe = {"sampler": "tpe", "trials": 5}
    with pytest.raises(BadInput, match="searched values"):
        require_same_run(facts(toy, tpe, grown), facts(toy, tpe, {"steps": [3, 4, 5]}), OUT)


def test_the_searched_end_of_a_gradient_may_change_and_the_fixed_one_may_not(toy):
    def merged(start, end):
        now = facts(toy)
        step = now.experiment["merge"][0] | {"ratio": {"start": start, "end": end}}
        what = parse_experiment(settings(toy, merge=[step]), Path(), "test")
        return replace(now, experiment=what.model_dump(mode="json"))

    require_same_run(merged(0.2, [0.5, 0.6]), merged(0.2, [0.5, 0.6, 0.7]), OUT)
    with pytest.raises(BadInput, match="the merge steps"):
        require_same_run(merged(0.2, [0.5, 0.6]), merged(0.3, [0.5, 0.6]), OUT)
