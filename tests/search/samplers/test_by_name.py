"""Every sampler asks a resumed study what it would have asked an unbroken one."""

import functools
import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.trial import TrialState, create_trial

from gridsearch.experiment.tables import SEARCH_SAMPLERS, Search
from gridsearch.results.shared.optuna_private import kernels_at
from gridsearch.search.racing import NEVER_BEST
from gridsearch.search.samplers import by_name, cmaes
from gridsearch.search.samplers.by_name import make_sampler, population
from gridsearch.search.samplers.cmaes import GENERATION, CmaEs
from gridsearch.search.samplers.finished import ended_of, numbers_of, with_losses
from gridsearch.search.samplers.tpe import log_density

NAMES = [name for name, known in SEARCH_SAMPLERS.items() if not known.ends_itself]
TRIALS = 18


def suggested(trial):
    return {
        "ratio": trial.suggest_float("ratio", 0.0, 1.0, step=0.01),
        "more.ratio": trial.suggest_float("more.ratio", -1.0, 1.0),
        "render.steps": trial.suggest_int("render.steps", 10, 30, step=5),
        "merged.model_b": trial.suggest_categorical("merged.model_b", ["ep1", "ep2", "ep3"]),
    }


def values_of(parameters, goals):
    loss = (parameters["ratio"] - 0.6) ** 2 + (parameters["more.ratio"] - 0.2) ** 2
    loss += 0.1 * (parameters["merged.model_b"] != "ep2")
    return [loss, parameters["render.steps"]][:goals]


def new_study(name, storage=None):
    directions = ["minimize"] * len(Search(sampler=name).kind.goals)
    return optuna.create_study(study_name="s", storage=storage, directions=directions)


def tell(study, trial, parameters):
    """Every seventh trial fails, and of those with one goal every fifth is pruned."""
    goals = len(study.directions)
    if trial.number % 7 == 3:
        study.tell(trial, state=TrialState.FAIL)
    elif trial.number % 5 == 2 and goals == 1:
        trial.report(values_of(parameters, 1)[0] + 1, step=0)
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, values_of(parameters, goals))


def go_on(study, name, seed, until, killed=()):
    """Run trials as the search loop does, up to `until` of them; one that is killed is left running."""
    while True:
        trials = study.get_trials(deepcopy=False)
        left = next((trial for trial in trials if trial.state == TrialState.RUNNING), None)
        number = left.number if left else len(trials)
        if number == until:
            return
        study.sampler = make_sampler(name, seed, number, TRIALS)
        trial = optuna.Trial(study, left._trial_id) if left else study.ask()
        parameters = suggested(trial)
        if number in killed:
            return
        tell(study, trial, parameters)


@functools.cache
def unbroken(name):
    """A study of one process, with seed 1."""
    study = new_study(name)
    go_on(study, name, 1, TRIALS)
    return study


@pytest.mark.parametrize(
    "name", [name if name == "tpe" else pytest.param(name, marks=pytest.mark.night) for name in NAMES]
)
def test_a_resumed_study_asks_what_an_unbroken_one_does(name, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    new_study(name, url)
    for until, killed in ((5, (3,)), (14, (9,)), (14, (13,)), (TRIALS, ()), (TRIALS, ())):
        storage = optuna.storages.RDBStorage(url)
        go_on(optuna.load_study(study_name="s", storage=storage), name, 1, until, killed)
        storage.engine.dispose()
    broken = optuna.load_study(study_name="s", storage=url)
    assert [t.params for t in broken.trials] == [t.params for t in unbroken(name).trials]
    assert len(broken.trials) == TRIALS
    other = new_study(name)
    go_on(other, name, 2, 3)
    assert [t.params for t in other.trials] != [t.params for t in unbroken(name).trials[:3]]


@pytest.mark.parametrize("name", NAMES)
def test_values_lie_on_the_steps_that_were_asked_for(name):
    for trial in unbroken(name).trials:
        assert round(trial.params["ratio"] * 100) / 100 == pytest.approx(trial.params["ratio"], abs=1e-12)
        assert trial.params["render.steps"] in (10, 15, 20, 25, 30)
        assert isinstance(trial.params["render.steps"], int)
        assert -1 <= trial.params["more.ratio"] <= 1


def test_samplers_learn_from_the_mean_loss_and_not_from_the_rank():
    """The first ranks last and has the least loss; one that was stopped never has."""
    study, space = optuna.create_study(), {"ratio": FloatDistribution(0.0, 1.0)}
    for value, loss, state in (
        (5.0, 0.4, TrialState.COMPLETE),
        (3.0, 0.9, TrialState.COMPLETE),
        (4.0, None, TrialState.COMPLETE),
        (2.0, 0.1, TrialState.PRUNED),
    ):
        kept = {} if loss is None else {"summary": {"loss": loss}}
        study.add_trial(
            create_trial(
                state=state, value=value, params={"ratio": 0.5}, distributions=space, user_attrs=kept
            )
        )
    losses = [loss for _, loss in with_losses(ended_of(study), frozenset(space))]
    assert losses == [0.4, 0.9, 4.0, 0.4 + NEVER_BEST]


def asked_of_tpe(trials):
    """Return what eight proposals come to, of a study with so many trials; each is under way at the next."""
    study = optuna.create_study()
    for number in range(trials + 8):
        study.sampler = make_sampler("tpe" if number >= trials else "random", 3, number)
        trial = study.ask()
        parameters = suggested(trial)
        if number % 3 == 0:
            trial.suggest_float("at times", 0.0, 2.0)
        if number < trials:
            tell(study, trial, parameters)
    return [trial.params for trial in study.trials[trials:]]


@pytest.mark.parametrize("trials", [30, 120])
def test_tpe_asks_what_optunas_own_does(trials, monkeypatch):
    quick = asked_of_tpe(trials)
    slow = np.frompyfunc(_truncnorm._log_ndtr_single, 1, 1)
    monkeypatch.setattr(by_name, "Tpe", lambda seed: TPESampler(seed=seed))
    monkeypatch.setattr(_truncnorm, "_log_ndtr", lambda a: slow(a).astype(float))
    assert asked_of_tpe(trials) == [pytest.approx(parameters) for parameters in quick]


SPACES = {
    "continuous": FloatDistribution(-1.0, 3.0),
    "stepped": FloatDistribution(0.2, 0.8, step=0.05),
    "fine": FloatDistribution(0.0, 1.0, step=0.001),
    "whole": IntDistribution(10, 30, step=5),
    "choice": CategoricalDistribution(["a", "b", "c"]),
}


def kernels_of(space, trials):
    """Return the kernels of so many random trials."""
    study = optuna.create_study(sampler=RandomSampler(seed=4))
    asked = [study.ask(space) for _ in range(trials)]
    places = np.array([[d.to_internal_repr(t.params[name]) for name, d in space.items()] for t in asked])
    return kernels_at(places.reshape(trials, len(space)), space)


@pytest.mark.parametrize("trials", [0, 5, 200])
def test_densities_are_those_that_optuna_computes(trials):
    kernels = kernels_of(SPACES, trials)
    places = kernels.sample(np.random.RandomState(2), 60)
    np.testing.assert_allclose(log_density(kernels, places), kernels.log_pdf(places), rtol=1e-9)


@pytest.mark.parametrize("trials", [3, 150])
def test_densities_of_trials_off_the_range_or_the_steps_that_are_searched_now_are_optunas(trials):
    spaces = [FloatDistribution(*ends, step=0.02) for ends in ((0.0, 1.0), (0.0, 0.5), (0.005, 1.005))]
    for one in (*spaces, FloatDistribution(0.01, 1.0, log=True)):
        places = np.linspace(0.02, 0.98, trials)[:, None]
        kernels = kernels_at(places, {"ratio": one})
        at = kernels.sample(np.random.RandomState(1), 30)
        np.testing.assert_allclose(log_density(kernels, at), kernels.log_pdf(at), rtol=1e-9)


@pytest.mark.parametrize("name", ["stepped", "fine", "whole", "choice"])
def test_the_probabilities_of_all_values_add_up_to_one(name):
    one = SPACES[name]
    steps = [0.0, 1.0, 2.0] if name == "choice" else np.arange(one.low, one.high + one.step / 2, one.step)
    found = log_density(kernels_of({name: one}, 150), np.array(steps)[:, None])
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-9)


def test_the_numbers_that_trials_share_are_those_that_optuna_finds():
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for number in range(6):
        trial = study.ask()
        trial.suggest_float("b", 0.0, 1.0 + (number > 3))
        trial.suggest_float("a", 0.0, 1.0, step=0.1)
        trial.suggest_categorical("c", [1, 2])
        trial.suggest_int("only", 3, 3)
        if number % 2:
            trial.suggest_float("at times", 0.0, 1.0)
        study.tell(trial, 0.0)
        of_optuna = optuna.search_space.intersection_search_space(study.get_trials(), include_pruned=True)
        assert [*numbers_of(study)] == [name for name in of_optuna if name not in ("c", "only")]


def test_a_generation_is_a_sixth_of_the_trials_within_reason():
    assert [population(trials) for trials in (12, 60, 1000, None)] == [6, 10, 50, 50]


# -- CMA-ES


def run_cmaes(loss, dimensions, trials, seed=0, direction="minimize", **options):
    study = optuna.create_study(direction=direction)
    for number in range(trials):
        study.sampler = CmaEs(seed, RandomSampler(seed=number))
        trial = study.ask()
        x = [trial.suggest_float(f"x{i}", -1.0, 3.0, **options) for i in range(dimensions)]
        study.tell(trial, loss(x))
    return study


def sphere(x):
    return sum((value - 0.7) ** 2 for value in x)


@pytest.mark.parametrize(("dimensions", "trials"), [(1, 60), (4, 160)])
def test_cmaes_finds_the_bottom_of_a_bowl(dimensions, trials):
    assert run_cmaes(sphere, dimensions, trials).best_value < 1e-2


def test_an_optimiser_that_goes_on_asks_what_one_made_anew_does(monkeypatch):
    """Two studies of the same numbers take turns, so that it has to begin anew, too."""

    def asked():
        studies = optuna.create_study(), optuna.create_study()
        for number in range(45):
            for turn, study in enumerate(studies[: 1 + (number % 15 > 9)]):
                study.sampler = CmaEs(5, RandomSampler(seed=number))
                trial = study.ask()
                x = [trial.suggest_float(f"x{i}", -1.0, 3.0) for i in range(3)]
                study.tell(trial, sphere(x) + turn * x[0])
        return [[trial.params for trial in study.trials] for study in studies]

    going_on = asked()
    monkeypatch.setattr(cmaes, "_replay_of", cmaes._replay_of.__wrapped__)
    assert asked() == going_on


def test_cmaes_climbs_where_it_is_asked_to():
    down, up = run_cmaes(sphere, 2, 30), run_cmaes(lambda x: -sphere(x), 2, 30, direction="maximize")
    assert [trial.params for trial in up.trials] == [trial.params for trial in down.trials]


def test_a_search_that_has_settled_begins_anew_elsewhere():
    """On a flat loss nothing is learnt; after its last generation the search does not stay where it is."""
    study = run_cmaes(lambda _: 1.0, 2, 160, step=0.5)
    assert {trial.params["x0"] for trial in study.trials[-60:]} > {0.0, 1.0, 2.0}


def test_a_generation_is_made_of_those_that_finish_first():
    """Three workers: a fourth trial of the first generation comes too late to be part of it."""
    study = optuna.create_study()

    def ask(number):
        study.sampler = CmaEs(0, RandomSampler(seed=number))
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        return trial

    study.tell(ask(0), 0.5)  # before it no range is known
    first = [ask(number) for number in range(1, 6)]
    for trial in first[1:]:
        study.tell(trial, trial.params["x"])
    second = ask(6)
    generations = {trial.number: trial.system_attrs.get(GENERATION) for trial in study.trials}
    assert generations == {0: None, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0, 6: 1}
    before = second.params["x"]
    study.tell(first[0], -100.0)
    study.sampler = CmaEs(0, RandomSampler(seed=6))
    space = study.trials[6].distributions
    assert study.sampler.sample_relative(study, study.trials[6], space) == {"x": before}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from((1, 2, 4, 5, 10, 20, 100)))
def test_every_value_is_one_of_the_steps(seed, steps):
    step = 1 / steps
    study = optuna.create_study()
    for number in range(8):
        study.sampler = CmaEs(seed, RandomSampler(seed=number))
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0, step=step)
        n = trial.suggest_int("n", 0, steps)
        assert math.isclose(round(x / step) * step, x, abs_tol=1e-9)
        assert 0 <= x <= 1
        assert n in range(steps + 1)
        study.tell(trial, (x - 0.3) ** 2 + n / steps)
