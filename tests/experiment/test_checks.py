"""What is searched in vain is said before a night is spent on it, and what is bound to fail is refused."""

import contextlib

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.checks import dependent_notes, require_dependent
from tests.helpers.experiments import STEPS, parse

NUMBER = {"low": 0.0, "high": 1.0, "step": 0.5}


def notes(step, **render):
    return dependent_notes(parse(step, render=render))


def ties(**changes):
    return STEPS["ties"] | {"method": "ties"} | changes


SUM = STEPS["weighted_sum"] | {"ratio": NUMBER}


@pytest.mark.parametrize(
    ("step", "render", "said"),
    [
        (SUM, {"cfg": 1, "cfg_rescale": [0, 0.5]}, "cfg_rescale has no effect at a cfg of 1 or less"),
        (SUM, {"cfg": [1, 4], "cfg_rescale": NUMBER}, "Where render.cfg is 1 or less"),
        (SUM, {"cfg": {"low": 0, "high": 4, "step": 0.5}}, "up to 1 turn guidance off"),
        (ties(k=NUMBER), {}, "Where merged.k is 0, nothing of the differences is kept"),
        (
            SUM | {"ratio": {"low": 0.0, "high": 1.0, "step": 0.3}},
            {},
            "ratio goes from 0 in steps of 0.3 to 0.9: the end of its range, 1, is never drawn",
        ),
        (
            ties(ratio=0, k=[0.1, 0.2]),
            {},
            "its first model unchanged: searching merged.k changes nothing",
        ),
        (ties(ratio=0, models=["a", ["b", "d"], "c"]), {}, "searching merged.model_b changes nothing"),
        (SUM | {"ratio": 1.0, "models": [["a", "c"], "b"]}, {}, "searching merged.model_a changes nothing"),
        (SUM | {"ratio": 0.0, "models": ["a", ["b", "c"]]}, {}, "searching merged.model_b changes nothing"),
        (SUM | {"models": ["a", ["a", "b"]]}, {}, "may take a as both model_a and model_b"),
        (
            {"method": "average", "models": ["a", "b"], "weights": [[1, 2], [1, 2]]},
            {},
            "only their proportions matter",
        ),
        (
            {"method": "karcher", "models": ["a", "b"], "weights": [[1, 2], [1, 2]]},
            {},
            "only their proportions matter",
        ),
    ],
)
def test_what_has_no_effect_is_said(step, render, said):
    (note,) = notes(step, **render)
    assert said in note


@pytest.mark.parametrize(
    ("step", "render"),
    [
        (SUM, {"cfg": [1, 4], "pag_scale": NUMBER}),  # works without guidance too
        (SUM, {"cfg": [2, 4], "cfg_rescale": NUMBER}),
        (SUM | {"models": ["a", ["b", "c"]]}, {}),
        (SUM | {"ratio": 1.0, "models": ["a", ["b", "c"]]}, {}),
        (ties(ratio=0, models=[["a", "d"], "b", "c"]), {}),
        (ties(k=[0.1, 0.2]), {}),
        ({"method": "karcher", "models": ["a", "b"], "weights": [1.0, [0, 2]]}, {}),
        ({"method": "average", "models": ["a", "b"], "weights": [1.0, [1, 2]]}, {}),
    ],
)
def test_what_has_an_effect_is_not_warned_of(step, render):
    assert notes(step, **render) == []


@pytest.mark.parametrize(
    ("weights", "normalize", "cancel"),
    [
        ([1.0, {"low": -1.0, "high": 1.0, "step": 0.5}], True, True),
        ([1.0, {"low": -1.5, "high": 1.5, "step": 1.0}], True, False),  # steps past it
        ([1.0, {"low": -1.5, "high": 1.5}], True, True),
        ([1.0, {"low": -1.0, "high": 1.0, "step": 0.5}], False, False),
        ([[0.1, 0.2], [-0.3, -0.1]], True, True),
        ([1.0, -1.0], True, True),
    ],
)
def test_weights_that_may_add_up_to_zero_are_refused(weights, normalize, cancel):
    step = {"method": "average", "models": ["a", "b"], "weights": weights, "normalize": normalize}
    what = parse(step, search={"sampler": "random", "trials": 5})
    refused = pytest.raises(BadInput, match="may sum to zero") if cancel else contextlib.nullcontext()
    with refused:
        require_dependent(what)


def test_weights_of_a_step_whose_method_is_searched_are_refused_too():
    """At weights of 0 and 0 the trial would end in an error of validation."""
    several = {"method": ["karcher", "multislerp"], "models": ["a", "b"], "weights": [[0, 1], [0, 1]]}
    with pytest.raises(BadInput, match="may sum to zero"):
        require_dependent(parse(several))
    require_dependent(parse(several | {"weights": [1, [0, 1]]}))
    linear = several | {"method": ["average"], "weights": [1.0, [-1.0, 1.0]]}
    require_dependent(parse(linear | {"normalize": False}))
    with pytest.raises(BadInput, match="or set normalize = false"):
        require_dependent(parse(linear))


def test_a_step_whose_method_is_searched_has_the_notes_of_each_method():
    both = {"method": ["karcher", "multislerp"], "models": ["a", "b"], "weights": [[1, 2], [1, 2]]}
    (note,) = notes(both)
    assert note.startswith("All weights of step merged are searched")
    some = ties(method=["ties", "clamp"], ratio=0, models=["a", ["b", "d"], "c"])
    vain = "its first model unchanged: searching merged.model_b changes nothing."
    assert notes(some) == [f"With the method ties: Step merged has ratio 0, which leaves {vain}"]
    lacking = SUM | {"method": ["slerp", "weighted_sum"], "ratio": ",".join(["0.5"] * 26)}
    (note,) = notes(lacking)
    assert note.startswith("6 of the weights of step merged are for blocks that SDXL does not have")


def test_weights_of_directions_that_may_all_be_zero_are_refused():
    zero = {"method": "karcher", "models": ["a", "b"], "weights": [[0, 1], {"low": 0, "high": 1}]}
    with pytest.raises(BadInput, match="may sum to zero") as refused:
        require_dependent(parse(zero, search={"sampler": "random", "trials": 5}))
    assert "normalize" not in str(refused.value)  # which it does not have
