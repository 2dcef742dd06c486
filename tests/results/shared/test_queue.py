"""Trials that wait for a worker, as each worker sees them: with a storage of its own."""

import time
from collections.abc import Callable

import optuna
import pytest
from optuna.trial import TrialState

from gridsearch.base.errors import MustStop, RunFailed
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.optuna_private import frozen
from gridsearch.results.store.location import database


@pytest.fixture
def led(tmp_path):
    with database(tmp_path / "study.db", shared=True) as storage:
        yield optuna.create_study(study_name="s", storage=storage)


@pytest.fixture
def worked(led, tmp_path):
    with database(tmp_path / "study.db", shared=True) as storage:
        yield optuna.load_study(study_name="s", storage=storage)


def test_a_worker_takes_the_first_that_wait_and_are_released(led, worked):
    for ratio in (0.1, 0.2, 0.3):
        led.enqueue_trial({"ratio": ratio})
    taken = [queue.take(worked, "w", below=2) for _ in range(3)]
    assert {trial.number for trial in taken[:2]} == {0, 1}
    assert taken[2] is None
    assert [queue.holds(worked, trial, "w") for trial in taken[:2]] == [True, True]
    assert not queue.holds(worked, taken[0], "another")


def test_a_trial_that_was_read_alone_is_given_its_parameters_and_told(led, worked):
    led.enqueue_trial({"ratio": 0.3})
    trial = queue.take(worked, "w", below=None)
    assert trial.suggest_float("ratio", 0, 1) == 0.3
    store.record_batch(trial, 0, [{"file": "a"}], {"render": 1.0}, {0: 0.25, 1: 0.5})
    worked.tell(trial, 0.5)
    (seen,) = led.get_trials()
    assert (seen.state, seen.params, seen.value) == (TrialState.COMPLETE, {"ratio": 0.3}, 0.5)
    assert (seen.intermediate_values, store.images_of(seen)) == ({0: 0.25, 1: 0.5}, [{"file": "a"}])
    assert worked.get_trials()[0].state == TrialState.COMPLETE


def test_what_is_put_back_is_taken_again_with_what_is_kept_of_it(led, worked):
    led.enqueue_trial({"ratio": 0.3})
    store.record_batch(queue.take(worked, "w", below=None), 0, [{"file": "a"}], {}, {0: 0.25})
    queue.put_back(led, led.get_trials()[0])
    again = queue.take(worked, "x", below=None)
    assert frozen(again).intermediate_values == {0: 0.25}
    assert store.batch_count(frozen(again)) == 1


@pytest.fixture
def queued(tmp_path):
    """In a file: Optuna's own memory does not find a trial that waits again."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'queued.db'}")
    study.enqueue_trial({"ratio": 0.5})
    return study


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_beat_of_a_worker_that_was_asleep_does_not_take_its_former_trial_back(queued):
    former = queue.take(queued, "asleep", None)
    assert queue.take(queued, "other", None) is None
    queue.put_back(queued, former)
    trial = queue.take(queued, "other", None)
    with queue.beating(queued, former, "asleep", 0.01):
        until(lambda: queued.trials[0].system_attrs.get("beat", {}).get("beat", 0) > 1)
        assert queue.lease_of(queued.trials[0]) == queue.Lease("other", 0)
        assert queue.holds(queued, trial, "other")
        assert not queue.holds(queued, former, "asleep")
    with queue.beating(queued, trial, "other", 0.01):
        until(lambda: queue.lease_of(queued.trials[0]).beat > 1)


def test_a_trial_does_not_fail_for_the_trouble_of_a_worker_that_has_lost_it(queued):
    former = queue.take(queued, "asleep", None)
    trouble = RunFailed("The memory is too small.")
    with pytest.raises(RunFailed), queue.own_failures(queued, former, "asleep"):
        raise trouble
    queue.put_back(queued, former)
    queue.take(queued, "other", None)
    with pytest.raises(queue.Lost), queue.own_failures(queued, former, "asleep"):
        raise trouble
    with pytest.raises(MustStop), queue.own_failures(queued, former, "asleep"):
        raise MustStop("The disk is full.")
