"""Who holds a trial of the queue."""

import time

import optuna
import pytest

from gridsearch.store import queue


@pytest.fixture
def study(tmp_path):
    """In a file: Optuna's own memory does not find a trial that waits again."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    study.enqueue_trial({"ratio": 0.5})
    queue.begin(study, pace=0.01)
    queue.release(study, 1)
    return study


def lease(study):
    return queue.lease_of(study.trials[0])


def test_the_beat_of_a_worker_that_was_asleep_does_not_take_its_former_trial_back(study):
    former = queue.take(study, "asleep")
    assert queue.take(study, "other") is None
    queue.put_back(study, former._trial_id)
    trial = queue.take(study, "other")
    with queue.beating(study, former, "asleep"):
        time.sleep(0.1)
        assert lease(study) == queue.Lease("other", 0)
        assert queue.holds(study, trial, "other")
        assert not queue.holds(study, former, "asleep")
    with queue.beating(study, trial, "other"):
        time.sleep(0.1)
    assert lease(study).beat > 1
