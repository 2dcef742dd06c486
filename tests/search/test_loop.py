"""The search loop on an objective that renders nothing: what is run, under which number, and what is kept."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState

from gridsearch.base.errors import RunFailed
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.search.budget import Budget
from gridsearch.search.samplers.by_name import expected_trials
from gridsearch.search.trial.outcome import Batch
from gridsearch.search.workers import dispatch
from gridsearch.search.workers.dispatch import enqueue_missing
from gridsearch.search.workers.look import InProcess, Leader, Leases
from tests.helpers.painter import row
from tests.helpers.searching import search_with


def experiment(high=1.0, **search_table):
    return parse_experiment(
        {
            "name": "x",
            "models": {"a": "a.safetensors", "b": "b.safetensors"},
            "merge": [{"models": ["a", "b"], "ratio": {"low": 0.0, "high": high, "step": 0.25}}],
            "prompt": [{"text": "t"}],
            "search": search_table,
        },
        Path(),
        "x",
    )


FACTS = store.Facts(
    experiment={}, models={}, versions={}, references=None, planned=5, drawing={}, file="x.toml"
)


def listed(ratios):
    return parse_experiment(
        {
            "name": "x",
            "models": {"a": "a.safetensors", "b": "b.safetensors"},
            "merge": [{"models": ["a", "b"], "ratio": ratios}],
            "prompt": [{"text": "t"}],
        },
        Path(),
        "x",
    )


@pytest.fixture
def study(tmp_path):
    store.write_study(tmp_path, FACTS)
    with store.open_study(tmp_path) as study:
        yield study


ORDER = ["p1_s1"]


def run(study, what, budget=Budget(), fail=(), kill=()):  # noqa: B008
    """Run the search; returns the (number, ratio) of each evaluation."""
    seen = []

    def render(number, parameters, done):
        seen.append((number, parameters["ratio"]))
        if len(seen) - 1 in kill:
            raise KeyboardInterrupt
        if len(seen) - 1 in fail:
            raise RunFailed("no luck")
        yield Batch([row(abs(parameters["ratio"] - 0.6))], {"merge": 0.001})

    if what.search.sampler == "grid":
        enqueue_missing(study, what)
    search_with(study, what, ORDER, budget, render)
    return seen


def states(study):
    return [trial.state for trial in study.trials]


def test_a_grid_runs_every_point_once(study):
    assert run(study, experiment()) == [(0, 0.0), (1, 1.0), (2, 0.5), (3, 0.25), (4, 0.75)]
    assert study.best_trial.params == {"ratio": 0.5}
    assert run(study, experiment()) == []


def test_a_grown_grid_runs_only_what_is_new(study):
    run(study, experiment(high=0.5))
    assert sorted(ratio for _, ratio in run(study, experiment(high=1.0))) == [0.75, 1.0]


def test_a_narrowed_grid_withdraws_what_it_no_longer_asks_for(study):
    with pytest.raises(KeyboardInterrupt):
        run(study, experiment(high=1.0), kill=[2])  # 0 and 1 are done, 0.5 is cut short, two wait
    assert [ratio for _, ratio in run(study, experiment(high=0.25))] == [0.25]
    assert (
        store.remaining(replace(FACTS, experiment={"search": {"sampler": "grid"}}, planned=2), study.trials)
        == 0
    )
    reasons = [trial.user_attrs.get(store.REASON) for trial in study.trials if trial.state == TrialState.FAIL]
    assert reasons == ["no longer asked for"] * 2


def test_values_that_no_decimal_can_write_are_drawn_once(study):
    thirds = listed([1 / 3, 2 / 3])
    assert [ratio for _, ratio in run(study, thirds)] == [1 / 3, 2 / 3]
    assert run(study, thirds) == []


def test_a_list_may_grow(study):
    assert [ratio for _, ratio in run(study, listed([0.3, 0.5]))] == [0.3, 0.5]
    assert [ratio for _, ratio in run(study, listed([0.3, 0.5, 0.7]))] == [0.7]


def test_a_trial_cut_off_between_two_parameters_is_taken_up_and_not_drawn_twice(study):
    two = parse_experiment(
        {
            "name": "x",
            "models": {"a": "a.safetensors", "b": "b.safetensors"},
            "merge": [{"models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.5}}],
            "render": {"cfg": [3.0, 5.0]},
            "prompt": [{"text": "t"}],
        },
        Path(),
        "x",
    )
    enqueue_missing(study, two)
    study.ask().suggest_float("ratio", 0.0, 1.0)  # killed before it asked for the other
    run(study, two)
    assert len(study.trials) == 6
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 6
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 6


def test_the_time_a_run_was_off_does_not_count_against_the_budget(study):
    with pytest.raises(KeyboardInterrupt):
        run(study, experiment(), kill=[0])
    yesterday = datetime.now() - timedelta(hours=20)
    model = study._storage._backend.engine
    with model.begin() as connection:
        connection.exec_driver_sql("UPDATE trials SET datetime_start = ?", (str(yesterday),))
    assert len(run(study, experiment(), Budget(deadline=time.time() + 3600))) == 5


SAMPLED = [{"sampler": "tpe", "trials": 14}, {"sampler": "qmc", "trials": 6}]


@pytest.mark.parametrize("settings", [{}, *(pytest.param(x, marks=pytest.mark.night) for x in SAMPLED)])
def test_a_killed_search_ends_like_an_unbroken_one(tmp_path, settings):
    for name, moments in (("unbroken", ()), ("broken", (0, 2, 1))):
        store.write_study(tmp_path / name, replace(FACTS, experiment=experiment().model_dump(mode="json")))
        for moment in moments:
            with store.open_study(tmp_path / name) as study, pytest.raises(KeyboardInterrupt):
                run(study, experiment(**settings), kill=[moment])
        with store.open_study(tmp_path / name) as study:
            run(study, experiment(**settings))
    unbroken, broken = (
        [(t.number, t.params, t.value) for t in store.read_study(tmp_path / name).trials]
        for name in ("unbroken", "broken")
    )
    assert broken == unbroken


def test_a_failed_trial_has_a_reason_and_no_score_and_is_tried_again_next_time(study):
    run(study, experiment(), fail=[2])
    failed = study.trials[2]
    assert (failed.state, failed.value, failed.user_attrs[store.REASON]) == (TrialState.FAIL, None, "no luck")
    assert run(study, experiment()) == [(5, 0.5)]


def test_three_failures_in_a_row_stop_the_run(study):
    with pytest.raises(RunFailed, match="3 trials in a row failed") as caught:
        run(study, experiment(), fail=[1, 2, 3])
    assert "no luck" in str(caught.value)
    assert states(study)[:4] == [TrialState.COMPLETE] + [TrialState.FAIL] * 3


def test_budgets(study):
    assert len(run(study, experiment(), Budget(trials=2))) == 2
    assert run(study, experiment(), Budget(deadline=time.time() - 1)) == []
    assert len(run(study, experiment(), Budget(deadline=time.time() + 60))) == 3


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "qmc"])
def test_samplers_run_as_many_trials_as_asked_on_the_steps_asked(study, name):
    what = experiment(sampler=name, trials=12)
    seen = run(study, what)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * expected_trials(what)[1]
    assert {ratio for _, ratio in seen} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(seen) == len({ratio for _, ratio in seen})  # what was drawn once is not drawn again


@pytest.mark.parametrize(("seconds", "notes"), [(1e-6, 1), (1e6, 0)])
def test_a_sampler_too_slow_for_its_workers_is_told_once_and_holds_up_no_look(
    study, monkeypatch, seconds, notes
):
    monkeypatch.setattr(dispatch, "PROPOSING", 0.0)
    said, budget = [], Budget(first=seconds)
    listener = SimpleNamespace(note=said.append)
    queue.begin(study, queue.USUAL_PACE)
    crew, leases = InProcess(lambda: False, size=50), Leases(60.0, 0)
    what = experiment(sampler="random", trials=100)
    leader = Leader(study, what, ORDER, Path(), listener, crew, leases, lambda: True)
    for looks in (1, 2):
        dispatch.fill_queue(leader, study.get_trials(deepcopy=False), budget, proposing=True)
        assert states(study).count(TrialState.WAITING) == looks
    assert len(said) == notes
    assert all("for 1 of 50 workers" in text for text in said)
