"""The search loop on an objective that renders nothing: what is run, under which number, and what is kept."""

import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from gridsearch import store
from gridsearch.errors import RunFailed
from gridsearch.experiment import parse_experiment
from gridsearch.outcome import Outcome
from gridsearch.search.loop import Budget, search
from gridsearch.search.space import planned_trials


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


FACTS = store.Facts(experiment={}, models={}, versions={}, references=None, planned=5)


@pytest.fixture
def study(tmp_path):
    store.write_study(tmp_path, FACTS)
    with store.open_study(tmp_path) as study:
        yield study


def outcome(ratio):
    return Outcome([{"verdict": "ok", "defect": abs(ratio - 0.6)}], {"merge": 0.0})


def run(study, what, budget=Budget(), fail=(), kill=()):  # noqa: B008
    """Run the search; returns the (number, ratio) of each evaluation."""
    seen = []

    def evaluate(number, parameters):
        seen.append((number, parameters["ratio"]))
        if len(seen) - 1 in kill:
            raise KeyboardInterrupt
        if len(seen) - 1 in fail:
            raise RunFailed("no luck")
        return outcome(parameters["ratio"])

    search(study, what, budget, evaluate, lambda *_: None)
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


@pytest.mark.parametrize("settings", [{}, {"sampler": "tpe", "trials": 14}, {"sampler": "qmc", "trials": 6}])
def test_a_killed_search_ends_like_an_unbroken_one(tmp_path, settings):
    for name, moments in (("unbroken", ()), ("broken", (0, 2, 1))):
        store.write_study(tmp_path / name, FACTS)
        for moment in moments:
            with store.open_study(tmp_path / name) as study, pytest.raises(KeyboardInterrupt):
                run(study, experiment(**settings), kill=[moment])
        with store.open_study(tmp_path / name) as study:
            run(study, experiment(**settings))
    (_, unbroken), (_, broken) = (
        store.read_study(tmp_path / "unbroken"),
        store.read_study(tmp_path / "broken"),
    )
    assert [(t.number, t.params, t.value) for t in broken] == [
        (t.number, t.params, t.value) for t in unbroken
    ]


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
    assert len(seen) == planned_trials(what) == 12
    assert {ratio for _, ratio in seen} <= {0.0, 0.25, 0.5, 0.75, 1.0}
