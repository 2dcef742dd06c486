"""The sampler on plain Optuna studies that render nothing."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from gridsearch.base.errors import BadInput
from gridsearch.search.samplers.window_sampler import WindowSampler, seen_in

SPACE = {"ratio": FloatDistribution(0.0, 1.0, step=0.01)}
TENTHS = [round(0.1 * i, 1) for i in range(11)]
MODES = {"mode": CategoricalDistribution(["epsilon", "v_prediction"])}


def summary(ratio, low=0.32, high=0.41, kept=1.0):  # so wide that its edges are found to two steps
    alive = kept if low <= ratio <= high else 0.0
    loss = abs(ratio - (low + high) / 2) + 2 * (1 - alive)
    return {"survived": alive, "dial": ratio - (low + high) / 2, "loss": loss, "partial": not alive}


def study_of(sampler):
    return optuna.create_study(sampler=sampler, pruner=optuna.pruners.NopPruner())


def tell(study, trial, found):
    trial.set_user_attr("summary", found)
    stopped = found["partial"]
    study.tell(
        trial, None if stopped else found["loss"], state=TrialState.PRUNED if stopped else TrialState.COMPLETE
    )


def ratios(study):
    return [trial.params["ratio"] for trial in study.trials]


@pytest.mark.parametrize("space", [None, SPACE])
def test_a_plain_study_finds_the_window(space):
    sampler = WindowSampler("ratio", space=space)

    def objective(trial):
        found = summary(trial.suggest_float("ratio", 0.0, 1.0, step=0.01))
        trial.set_user_attr("summary", found)
        if found["partial"]:
            raise optuna.TrialPruned
        if sampler.done(study):
            study.stop()
        return found["loss"]

    study = study_of(sampler)
    study.optimize(objective, n_trials=60)
    assert {0.3, 0.32, 0.4, 0.42} <= {round(ratio, 2) for ratio in ratios(study)}
    assert len(study.trials) < 30


@pytest.mark.parametrize("space", [None, SPACE])
def test_workers_that_start_together_try_different_ratios(space):
    study = study_of(WindowSampler("ratio", space=space))
    asked = [study.ask() for _ in range(8)]  # nobody has said yet what it tries
    for trial in reversed(asked):
        trial.suggest_float("ratio", 0.0, 1.0, step=0.01)
    assert sorted(ratios(study)) == [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0]


def test_when_all_is_known_it_is_done_and_goes_on_with_the_widest_gaps():
    sampler = WindowSampler("ratio", space=SPACE)
    study = study_of(sampler)
    while not sampler.done(study):
        trial = study.ask()
        tell(study, trial, summary(trial.suggest_float("ratio", 0.0, 1.0, step=0.01)))
    before = ratios(study)
    more = [study.ask().suggest_float("ratio", 0.0, 1.0, step=0.01) for _ in range(3)]
    assert not set(more) & set(before)
    assert all(min(abs(ratio - other) for other in before) > 0.04 for ratio in more)


def test_it_goes_on_when_everything_has_been_tried():
    study = study_of(WindowSampler("ratio"))
    for _ in range(7):
        trial = study.ask()
        tell(study, trial, summary(trial.suggest_float("ratio", 0.0, 1.0, step=0.25)))
    assert set(ratios(study)) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_enqueued_and_failed_ratios_are_not_tried_again():
    sampler = WindowSampler("ratio", space=SPACE)
    study = study_of(sampler)
    study.enqueue_trial({"ratio": 0.5})
    study.add_trial(
        optuna.trial.create_trial(state=TrialState.FAIL, params={"ratio": 0.0}, distributions=SPACE)
    )
    queued = study.ask()
    trial = study.ask()
    assert queued.suggest_float("ratio", 0.0, 1.0, step=0.01) == 0.5
    assert trial.suggest_float("ratio", 0.0, 1.0, step=0.01) == 1.0
    assert study.ask().suggest_float("ratio", 0.0, 1.0, step=0.01) == 0.3


def test_a_stored_summary_without_a_dial_has_an_undefined_one():
    found = {"survived": 0.0, "dial": None, "loss": 1.5, "partial": True}  # as JSON keeps a NaN
    trial = optuna.trial.create_trial(value=1.5, user_attrs={"summary": found})
    assert math.isnan(seen_in(trial, 0.5).dial)
    assert seen_in(trial, 0.5).loss == 1.5


def tried_by_mode(curves):
    """The ratios of each mode, all of them searched to the end; `curves` are functions of the ratio."""
    sampler = WindowSampler("ratio", space=SPACE | MODES)
    study = study_of(sampler)
    tried = {mode: [] for mode in curves}
    while not sampler.done(study):
        trial = study.ask()
        mode = trial.suggest_categorical("mode", ["epsilon", "v_prediction"])
        ratio = trial.suggest_float("ratio", 0.0, 1.0, step=0.01)
        tried[mode].append(round(ratio, 10))
        tell(study, trial, curves[mode](ratio))
    return tried


def test_each_mode_is_a_curve_and_the_worse_one_is_followed_to_its_turn_only():
    tried = tried_by_mode({"epsilon": summary, "v_prediction": lambda ratio: summary(ratio, kept=0.6)})
    assert {0.3, 0.32, 0.4, 0.42} <= set(tried["epsilon"])
    assert sorted(tried["v_prediction"]) == sorted([*TENTHS, 0.35, 0.36, 0.37])  # the dial turns at .365


@pytest.mark.parametrize("beside", [0.0, 1 / 12, 0.6])
def test_a_narrow_window_between_tenths_is_found_whatever_survives_beside_it(beside):
    def narrow(ratio):
        found = summary(ratio, 0.54, 0.56)
        return found | {"survived": beside} if abs(ratio - 0.5) < 0.01 else found

    tried = tried_by_mode({"epsilon": summary, "v_prediction": narrow})
    assert {0.53, 0.54, 0.56, 0.57} <= set(tried["v_prediction"])


def test_a_curve_whose_dial_never_turns_is_not_followed_where_another_survives():
    def burnt(ratio):
        return summary(ratio, 2.0, 2.1) | {"dial": 1 + ratio}

    tried = tried_by_mode({"epsilon": summary, "v_prediction": burnt})
    assert sorted(tried["v_prediction"]) == TENTHS
    alone = tried_by_mode({"epsilon": burnt, "v_prediction": burnt})  # there is nothing better to do
    assert all(len(ratios) > len(TENTHS) for ratios in alone.values())


def test_the_same_study_asks_the_same_again():
    asked = []
    for _ in range(2):
        study = study_of(WindowSampler("ratio", seed=3, space=SPACE | MODES))
        for _ in range(30):
            trial = study.ask()
            trial.suggest_categorical("mode", ["epsilon", "v_prediction"])
            tell(study, trial, summary(trial.suggest_float("ratio", 0.0, 1.0, step=0.01)))
        asked.append([trial.params for trial in study.trials])
    assert asked[0] == asked[1]


def test_a_second_number_with_a_step_is_a_set_of_curves():
    space = SPACE | {"render.cfg": FloatDistribution(0.1, 0.3, step=0.1)}
    sampler = WindowSampler("ratio", space=space)
    study = study_of(sampler)
    while not sampler.done(study):
        trial = study.ask()
        cfg = trial.suggest_float("render.cfg", 0.1, 0.3, step=0.1)
        ratio = trial.suggest_float("ratio", 0.0, 1.0, step=0.01)
        tell(study, trial, summary(ratio, kept=1.0 if cfg > 0.25 else 0.6))
    tried = [(round(trial.params["render.cfg"], 9), trial.params["ratio"]) for trial in study.trials]
    assert len(set(tried)) == len(tried)
    assert {(0.3, 0.3), (0.3, 0.32), (0.3, 0.4), (0.3, 0.42)} <= set(tried)


def test_a_second_parameter_without_a_step_is_refused():
    sampler = WindowSampler("ratio", space=SPACE | {"render.cfg": FloatDistribution(1.0, 8.0)})
    with pytest.raises(BadInput, match=r"cannot search render\.cfg"):
        study_of(sampler).ask().suggest_float("ratio", 0.0, 1.0, step=0.01)


def test_too_many_curves_are_refused():
    blocks = {f"block{i}": FloatDistribution(0.0, 1.0, step=0.25) for i in range(3)}
    with pytest.raises(BadInput, match="would search 125 curves"):
        study_of(WindowSampler("ratio", space=SPACE | blocks)).ask().suggest_float(
            "ratio", 0.0, 1.0, step=0.01
        )
