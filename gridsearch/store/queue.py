"""The queue of a study: who leads it puts trials in, workers take them out, and what the dead held goes back.

A trial waits (Optuna's WAITING) with its parameters given, is taken by one worker (RUNNING) and ends. Optuna
lets one worker alone turn WAITING into RUNNING. Whoever holds a trial says so in it, once, and beats for as
long as it lives: that is its *lease*. One that was asleep may beat on for a trial that is another's by then,
which counts for nothing. Any storage of Optuna's will do, its gRPC proxy too.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from gridsearch.errors import StorageLost

_LEASE = "lease"  # of a trial: who draws it
_BEAT = "beat"  # of a trial: who was heard of last, and how often
_RELEASED = "released"  # of a study: trials below this number may be taken
_OVER = "over"  # of a study: why its workers may go; None while they may not
_LEADS = "leads"  # of a study: the beat of who leads it
_PACE = "pace"  # of a study: seconds from beat to beat
USUAL_PACE = 15.0
MISSED = 4  # beats, after which a worker is taken for dead


@dataclass(frozen=True)
class Lease:
    """Who draws a trial, and how often that was said."""

    worker: str
    beat: int


def lease_of(trial: FrozenTrial) -> Lease | None:
    worker = trial.system_attrs.get(_LEASE)
    if worker is None:
        return None
    heard = trial.system_attrs.get(_BEAT)
    return Lease(str(worker), int(heard["beat"]) if heard and heard["worker"] == worker else 0)


def holds(study: optuna.Study, trial: optuna.Trial, worker: str) -> bool:
    """Whether the trial is still this worker's: one that was not heard of for long has lost it."""
    found = study._storage.get_trial(trial._trial_id)
    lease = lease_of(found)
    return found.state == TrialState.RUNNING and lease is not None and lease.worker == worker


def take(study: optuna.Study, worker: str) -> optuna.Trial | None:
    """The first trial that waits and is released, for this worker alone; None where there is none."""
    below = _said(study).get(_RELEASED)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if below is not None and trial.number >= below:
            break
        if _claimed(study, trial):
            study._storage.set_trial_system_attr(trial._trial_id, _LEASE, worker)
            return optuna.Trial(study, trial._trial_id)
    return None


def _claimed(study: optuna.Study, trial: FrozenTrial) -> bool:
    with contextlib.suppress(UpdateFinishedTrialError):
        return study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    return False


def put_back(study: optuna.Study, trial_id: int) -> bool:
    """Let a trial wait again, with all that is kept of it; False where it has ended meanwhile."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        return True
    return False


@contextlib.contextmanager
def beating(study: optuna.Study, trial: optuna.Trial, worker: str) -> Iterator[None]:
    """The worker is heard of for as long as it draws this trial."""
    pace, ended = pace_of(study), threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(pace):
            number += 1
            # where the database is gone, whoever draws says so; a trial that was lost is noticed there too
            with contextlib.suppress(UpdateFinishedTrialError, StorageLost):
                heard = {"worker": worker, "beat": number}
                study._storage.set_trial_system_attr(trial._trial_id, _BEAT, heard)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# -- what is said of the whole study


def _said(study: optuna.Study) -> Mapping[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def _say(study: optuna.Study, **facts: Any) -> None:
    for key, value in facts.items():
        study._storage.set_study_system_attr(study._study_id, key, value)


def release(study: optuna.Study, below: int) -> None:
    """Let trials below this number be taken."""
    _say(study, **{_RELEASED: below})


def released(study: optuna.Study) -> int | None:
    return _said(study).get(_RELEASED)


def begin(study: optuna.Study, pace: float) -> None:
    """A run leads the study from now on; nothing may be taken yet."""
    _say(study, **{_RELEASED: 0, _PACE: pace, _OVER: None, _LEADS: 0})


def end(study: optuna.Study, why: str) -> None:
    """Send the workers home."""
    _say(study, **{_OVER: why})


def over(study: optuna.Study) -> str | None:
    """Why the workers may go; None while there may be something to draw."""
    return _said(study).get(_OVER)


def lead_on(study: optuna.Study, beat: int) -> None:
    """Whoever leads is alive."""
    _say(study, **{_LEADS: beat})


def lead_beat(study: optuna.Study) -> int | None:
    """None before a run has led it."""
    return _said(study).get(_LEADS)


def pace_of(study: optuna.Study) -> float:
    return float(_said(study).get(_PACE, USUAL_PACE))
