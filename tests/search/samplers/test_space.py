"""The grid: every point once, coarse before fine. Whether a sampler suits what is searched."""

import itertools

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.search.parameters import suggest
from gridsearch.search.samplers.axis import coarse_to_fine
from gridsearch.search.samplers.by_name import expected_trials, grid, require_suits
from tests.helpers.experiments import STEPS, parse

SUM = STEPS["weighted_sum"]
HUNDREDTHS = {"low": 0.0, "high": 1.0, "step": 0.01}


def test_the_ends_come_first_then_the_middle_then_the_quarters():
    assert coarse_to_fine([0, 1, 2, 3, 4, 5, 6, 7, 8]) == [0, 8, 4, 2, 6, 1, 3, 5, 7]


@given(st.integers(1, 200))
def test_every_value_comes_once(count):
    assert sorted(coarse_to_fine(range(count))) == list(range(count))


@given(st.integers(3, 100), st.data())
def test_no_gap_is_more_than_twice_another(count, data):
    seen = sorted(coarse_to_fine(range(count))[: data.draw(st.integers(2, count))])
    gaps = [b - a for a, b in itertools.pairwise(seen)]
    assert max(gaps) <= 2 * min(gaps) + 1


# -- whole numbers


@pytest.mark.parametrize("steps", [{"low": 10, "high": 30, "step": 10}, [10, 20, 30]])
def test_whole_numbers_are_whole_to_optuna_and_may_grow_in_a_grid(steps):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for render in (steps, {"low": 5, "high": 35, "step": 5}):
        what = parse(SUM, render={"steps": render})
        for point in grid(what):
            study.enqueue_trial(point)
            trial = study.ask()
            assert suggest(trial, what) == point
            assert type(study.trials[-1].params["render.steps"]) is int
            study.tell(trial, 0.0)


def test_a_range_of_whole_numbers_is_sampled_on_its_steps():
    what = parse(
        SUM, render={"steps": {"low": 10, "high": 30, "step": 5}}, search={"sampler": "random", "trials": 5}
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = [suggest(study.ask(), what)["render.steps"] for _ in range(40)]
    assert set(values) == {10, 15, 20, 25, 30}
    assert all(type(value) is int for value in values)


# -- how many trials


def test_a_grid_is_counted_and_a_number_is_taken_as_it_is():
    what = parse(SUM | {"ratio": HUNDREDTHS}, render={"steps": [10, 20]})
    assert expected_trials(what) == (202, 202)
    what = parse(SUM | {"ratio": HUNDREDTHS}, search={"sampler": "tpe", "trials": 30})
    assert expected_trials(what) == (30, 30)


def test_a_window_takes_a_quarter_of_the_grid_and_one_look_at_each_curve():
    def counted(models, **search):
        step = SUM | {"ratio": HUNDREDTHS, "models": models}
        return expected_trials(parse(step, search={"sampler": "window"} | search))

    fewest, most = counted(["a", "b"])
    assert 11 < fewest < most <= 40
    # another curve has its look at eleven ratios at least, and is searched like the first at most
    assert counted(["a", ["b", "c"]]) == (fewest + 11, 2 * most)
    assert counted(["a", "b"], trials=20) == (min(fewest, 20), 20)


# -- whether a sampler suits


def experiment(step, sampler, trials=40, **tables):
    return parse(SUM | step, search={"sampler": sampler, "trials": trials}, **tables)


CHOICES = {"models": ["a", ["b", "c"]], "ratio": [0.1, 0.5]}
UNSUITED = {
    "nothing searched": (({}, "tpe"), "nothing is searched", "ratio as {"),
    "words to cmaes": ((CHOICES, "cmaes"), "has no order", '"tpe"'),
    "words to gp": ((CHOICES, "gp"), "has no order", '"grid"'),
    "words to window": ((CHOICES, "window"), "merged.model_b has no order", '"grid"'),
    "few trials": (({"ratio": HUNDREDTHS}, "nsga2", 11), "11 trials are less than two", "Ask for 12"),
    "no step": (
        ({"ratio": {"default": HUNDREDTHS, "in": {"low": 0, "high": 1}}}, "window"),
        "no step",
        "Give merged.ratio.in a step",
    ),
    "curves": (
        ({"ratio": {"default": HUNDREDTHS, "in": HUNDREDTHS}}, "window"),
        "101 curves",
        "100 are allowed",
    ),
}


@pytest.mark.parametrize("case", UNSUITED)
def test_a_sampler_that_does_not_suit_is_refused_with_one_that_does(case):
    given, why, fix = UNSUITED[case]
    with pytest.raises(BadInput) as caught:
        require_suits(experiment(*given))
    assert why in str(caught.value)
    assert fix in str(caught.value)
    assert len(caught.value.lines) <= 4


@pytest.mark.parametrize("sampler", ["window", "tpe", "gp", "cmaes", "qmc", "random", "nsga2"])
def test_a_ratio_and_a_choice_suit_every_sampler(sampler):
    require_suits(experiment({"models": ["a", ["b", "c"]], "ratio": HUNDREDTHS}, sampler))


def test_a_grid_may_have_nothing_to_search():
    require_suits(parse(SUM))
