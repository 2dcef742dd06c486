"""Every value that may be searched: its name, and that a trial's value lands in its place."""

import json

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment, Range
from gridsearch.experiment.parameters import RENDER_VALUES, curve_parameter
from gridsearch.experiment.values import WholeRange
from tests.helpers.experiments import STEPS, parse

FLOATS = {"low": 0.25, "high": 0.75, "step": 0.25}
WORDS = {
    "hires_upscaler": ["Latent", "Lanczos"],
    "prediction_type": ["epsilon", "v_prediction"],
    "sampler": ["euler", "dpmpp_2m_karras"],
    "unconditional": ["empty", "zeros"],
    "schedule": ["exponential", "align_your_steps"],
    "pag_layers": ["M00", "IN08, M00.0"],
}
WHOLE = {"low": 10, "high": 30, "step": 5}


def in_steps():
    """Each number and each model of each method: (name, the step with it searched, its values)."""
    for method, step in STEPS.items():
        own = step | {"method": method}
        for key in sorted(step.keys() - {"models"}):
            for searched in (WHOLE, [1, 3]) if key == "rank" else (FLOATS, [0.25, 0.75]):
                name = "ratio" if key == "ratio" else f"merged.{key}"
                yield name, own | {key: searched}, searched
        if "ratio" in step:
            blocks = {"default": 0.5, "IN04.attention": FLOATS}
            yield "merged.ratio.IN04.attention", own | {"ratio": blocks}, FLOATS
        for i in range(len(step["models"])):
            names = ["x", "y"] if step["models"][i] == "x" else [step["models"][i], "d"]
            models = [*step["models"][:i], names, *step["models"][i + 1 :]]
            yield f"merged.model_{'abc'[i]}", own | {"models": models}, names
    weights = [1.0, FLOATS, 1.0]
    for method in ("average", "karcher", "multislerp"):
        yield "merged.weights.b", STEPS[method] | {"method": method, "weights": weights}, FLOATS
    models = ["a", ["b", "d"], "c"]
    average = {"method": "average", "models": models, "weights": [1.0, FLOATS, 1.0]}
    yield "merged.weights.model_b", average, FLOATS


def values_of(searched):
    return searched if isinstance(searched, list) else [searched["low"], searched["high"]]


def assert_found(what, name, searched):
    assert name in what.searched()
    assert Experiment.model_validate_json(what.model_dump_json()) == what
    for value in values_of(searched):
        fixed = what.at({name: value})
        assert name not in fixed.searched()
        assert Experiment.model_validate_json(fixed.model_dump_json()) == fixed
        yield value, fixed


@pytest.mark.parametrize("case", in_steps(), ids=lambda case: f"{case[1]['method']} {case[0]}")
def test_any_number_and_model_of_a_step_can_be_searched_and_fixed(case):
    name, step, searched = case
    for value, fixed in assert_found(parse(step), name, searched):
        _, key, *rest = ("merged.ratio" if name == "ratio" else name).split(".")
        if key.startswith("model_"):
            assert fixed.merge[0].models["abc".index(key[-1])] == value
        elif key == "weights":
            assert fixed.merge[0].weights == (1.0, value, 1.0)
        elif rest:
            assert fixed.merge[0].ratio[".".join(rest)] == value
        else:
            assert getattr(fixed.merge[0], key) == value


def in_render():
    for key in RENDER_VALUES:
        if key in WORDS:
            yield key, WORDS[key]
        elif key in ("steps", "clip_skip", "hires_steps"):
            yield from ((key, WHOLE), (key, [1, 3]))
        else:
            yield from ((key, FLOATS), (key, [0.25, 1.0]))


@pytest.mark.parametrize("case", in_render(), ids=lambda case: case[0])
def test_any_setting_that_may_be_searched_is_found_and_fixed(case):
    key, searched = case
    what = parse(STEPS["weighted_sum"], render={key: searched})
    for value, fixed in assert_found(what, f"render.{key}", searched):
        assert getattr(fixed.render, key) == value
        assert type(getattr(fixed.render, key)) is type(value) or isinstance(value, int)


def test_whole_numbers_stay_whole():
    what = parse(STEPS["weighted_sum"], render={"steps": WHOLE, "clip_skip": {"low": 1, "high": 2}})
    assert what.searched() == {
        "render.steps": WholeRange(low=10, high=30, step=5),
        "render.clip_skip": WholeRange(low=1, high=2),
    }
    assert what.searched()["render.steps"].values() == (10, 15, 20, 25, 30)
    again = Experiment.model_validate(json.loads(what.model_dump_json()))
    assert again == what
    # a column of a table that has a gap holds floats
    assert type(again.at({"render.steps": 15.0}).render.steps) is int
    listed = parse(STEPS["weighted_sum"], render={"steps": [10, 20]})
    assert type(listed.at({"render.steps": 20.0}).render.steps) is int
    ratio = parse(
        STEPS["weighted_sum"] | {"ratio": {"low": 0, "high": 1}}, search={"sampler": "tpe", "trials": 1}
    )
    assert ratio.searched() == {"ratio": Range(low=0, high=1)}
    assert type(ratio.at({"ratio": 1.0}).merge[0].ratio) is float


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"low": 0, "high": 10}, "must be from 1 to 1000"),
        ({"low": 10, "high": 30.5}, "whole number"),
        ({"low": 10, "high": 12, "step": 5}, "step = 5 is wider"),
        ({"low": 10, "high": 12, "stpe": 5}, "nearest known key is 'step'"),
        ([10, 2000], "must be from 1 to 1000, got"),
        (12.0, "whole number"),
    ],
)
def test_whole_numbers_that_cannot_be_are_told_so(steps, said):
    with pytest.raises(BadInput) as caught:
        parse(STEPS["weighted_sum"], render={"steps": steps})
    assert said in str(caught.value)
    assert "render.steps" in str(caught.value)


def test_two_values_of_one_name_are_refused():
    step = {"method": "average", "models": ["a", ["b", "c"], "model_b"], "weights": [1.0, FLOATS, FLOATS]}
    with pytest.raises(BadInput, match="Two searched values are named 'merged"):
        parse(step, models={name: f"{name}.safetensors" for name in ("a", "b", "c", "model_b")})


RATIOS, CFGS = {"low": 0.0, "high": 1.0, "step": 0.1}, {"low": 1.0, "high": 10.0, "step": 0.5}


@pytest.mark.parametrize(
    ("ratio", "render", "expected"),
    [
        (RATIOS, {"steps": WHOLE, "cfg": CFGS}, "ratio"),
        ([0.4, 0.5, 0.6], {"cfg": CFGS}, "render.cfg"),  # a range before a list, though that is a ratio's
        ({"default": 0.5, "IN04": RATIOS}, {"cfg": CFGS}, "merged.ratio.IN04"),
        ([0.4, 0.5], {"cfg": [3.0, 4.0]}, "ratio"),
        (0.5, {"prediction_type": ["epsilon", "v_prediction"], "cfg": [3.0, 4.0]}, "render.cfg"),
        (0.5, {"prediction_type": ["epsilon", "v_prediction"]}, None),
    ],
)
def test_curves_run_along_a_range_before_a_list_and_along_a_ratio_first(ratio, render, expected):
    what = parse(STEPS["weighted_sum"] | {"ratio": ratio}, render=render)
    assert curve_parameter(what.model_dump()) == expected
    assert curve_parameter(what.model_dump(mode="json")) == expected
