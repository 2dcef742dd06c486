"""Who is taken for dead, and what becomes of the trial that was drawn."""

import subprocess
import sys

import optuna
import pytest
from optuna.trial import TrialState

from gridsearch.base.machine import process_name
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.search.workers.look import Leases

SILENCE = 60.0


@pytest.fixture
def study(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'queued.db'}")
    study.enqueue_trial({"ratio": 0.5})
    return study


@pytest.fixture
def watch():
    """With a clock that is set by hand."""
    watch = Leases(SILENCE, retries=1, clock=lambda: watch.now)
    watch.now = 0.0
    return watch


def numbers(watch, study, dead=()):
    return [trial.number for trial in watch.lost(study.get_trials(), dead)]


def test_a_worker_is_lost_once_it_has_not_been_heard_of_for_long(watch, study):
    trial = queue.take(study, "w", None)
    assert numbers(watch, study) == []
    watch.now = SILENCE
    assert numbers(watch, study) == []
    study._storage.set_trial_system_attr(trial._trial_id, "beat", {"worker": "w", "beat": 1})
    watch.now = 2 * SILENCE
    assert numbers(watch, study) == []  # it was heard of meanwhile
    watch.now = 3 * SILENCE + 1
    assert numbers(watch, study) == [0]


def test_a_worker_is_lost_at_once_where_its_end_is_known(watch, study):
    queue.take(study, "w", None)
    assert numbers(watch, study, dead={"v"}) == []
    assert numbers(watch, study, dead={"w"}) == [0]


def test_a_process_of_this_machine_that_is_no_more_is_lost_at_once(watch, study):
    ask = "from gridsearch.base.machine import process_name; print(process_name())"
    gone = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    study.enqueue_trial({"ratio": 0.6})
    for name in (process_name(), f"{gone.stdout.strip()} 3"):
        queue.take(study, name, None)
    trials = study.get_trials()
    (theirs,) = [t.number for t in trials if queue.lease_of(t).worker.startswith(gone.stdout.strip())]
    assert numbers(watch, study) == [theirs]


def died(watch, study) -> optuna.trial.FrozenTrial:
    """The trial after its worker, which was listened to, has died."""
    queue.take(study, "w", None)
    (lost,) = watch.lost(study.get_trials(), {"w"})
    watch.give_back(study, lost)
    return study.get_trials()[0]


def test_a_trial_goes_back_once_and_then_fails_with_a_reason(watch, study):
    watch.listened = True
    assert died(watch, study).state == TrialState.WAITING
    failed = died(watch, study)
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs[store.REASON] == "Its worker died 2 times while drawing it."


def test_a_trial_that_gets_on_between_deaths_is_not_blamed(watch, study):
    watch.listened = True
    for rung in range(3):
        assert died(watch, study).state == TrialState.WAITING
        store.record_batch(optuna.Trial(study, study.get_trials()[0]._trial_id), rung, [{"file": "a"}], {})
    assert died(watch, study).state == TrialState.WAITING
    assert died(watch, study).state == TrialState.FAIL


def test_what_was_lost_before_anybody_listened_is_nobodys_fault(watch, study):
    for _ in range(3):
        watch.listened = False  # a run has just begun to lead
        assert died(watch, study).state == TrialState.WAITING


def test_a_trial_that_ended_just_before_its_worker_did_stays_ended(watch, study):
    """The look at the study is older than the end of the trial."""
    trial = queue.take(study, "w", None)
    (lost,) = watch.lost(study.get_trials(), {"w"})
    study.tell(trial, 1.0)
    watch.give_back(study, lost)
    (after,) = study.get_trials()
    assert (after.state, after.value) == (TrialState.COMPLETE, 1.0)
