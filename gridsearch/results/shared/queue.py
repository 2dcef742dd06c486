"""The queue of a study: the leader puts trials in, workers take them out, and those of dead workers go back.

A trial waits (Optuna's WAITING) with its parameters given, is taken by one worker (RUNNING) and ends. Optuna
lets one worker alone turn WAITING into RUNNING. A worker writes its name into the trial that it takes, once,
and a beat for as long as it lives: that is its *lease*. A worker that was asleep may beat on for a trial that
is another's by then, which counts for nothing.
"""

import contextlib
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import MustStop, RunFailed, StorageLost
from gridsearch.results.shared.optuna_private import storage_of, study_id, trial_id
from gridsearch.results.shared.optuna_tables import open_trial, state_and_attr, waiting_trial_ids

_LEASE = "lease"  # of a trial: the worker that draws it
_BEAT = "beat"  # of a trial: the worker that was heard of last, and how often
_REFUSED = "refused"  # of a study, before a worker's name: why that may not work on it
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds that an idle worker lets pass between two looks
LOOKS_PER_SECOND = 200  # of idle workers, that a database should bear
CHOICE = 64  # trials among which a worker chooses
USUAL_PACE = 15.0
MISSED = 4  # beats, after which a worker is taken for dead


@dataclass(frozen=True)
class Lease:
    """The worker that draws a trial, and its beats so far."""

    worker: str
    beat: int


def lease_of(trial: FrozenTrial) -> Lease | None:
    """Return the lease on a trial; None where no worker has taken it."""
    worker = trial.system_attrs.get(_LEASE)
    if worker is None:
        return None
    heard = trial.system_attrs.get(_BEAT)
    return Lease(str(worker), int(heard["beat"]) if heard and heard["worker"] == worker else 0)


def lease_kept(trial: FrozenTrial) -> dict[str, Any]:
    """Return the attribute that tells that a worker has taken the trial once, for a copy of it."""
    return {key: value for key, value in trial.system_attrs.items() if key == _LEASE}


class Lost(Exception):
    """The trial is another's now: its worker was not heard of for too long."""


def holds(study: optuna.Study, trial: optuna.Trial, worker: str) -> bool:
    """Whether the trial is still this worker's: one that was not heard of for long has lost it."""
    return state_and_attr(study, trial, _LEASE) == (TrialState.RUNNING, worker)


def require_held(study: optuna.Study, trial: optuna.Trial, worker: str) -> None:
    """Check, before anything is written of a trial, that it is still this worker's; Lost where it is not."""
    if not holds(study, trial, worker):
        raise Lost


@contextlib.contextmanager
def own_failures(study: optuna.Study, trial: optuna.Trial, worker: str) -> Iterator[None]:
    """Pass an error on, which fails the trial, where the trial is still the worker's; else raise Lost."""
    try:
        yield
    except MustStop:  # which fails no trial
        raise
    except RunFailed:
        require_held(study, trial, worker)
        raise


def take(study: optuna.Study, worker: str, below: int | None, alone: bool = False) -> optuna.Trial | None:
    """Take one of the first trials that wait, for this worker alone; None where there is none.

    Args:
        below: only trials with a smaller number; None for any.
        alone: whether there is no other worker: then it is the very first.
    """
    waiting = waiting_trial_ids(study, below, 1 if alone else CHOICE)
    first = zlib.crc32(worker.encode()) % max(len(waiting), 1)  # many that look at once each begin elsewhere
    storage = storage_of(study)
    for number in waiting[first:] + waiting[:first]:
        with contextlib.suppress(UpdateFinishedTrialError):  # another worker was first, and drew it
            if storage.set_trial_state_values(number, TrialState.RUNNING):
                storage.set_trial_system_attr(number, _LEASE, worker)
                return open_trial(study, number)
    return None


def first_waiting(study: optuna.Study) -> FrozenTrial | None:
    """Return the trial that is taken next where there is one worker; None where none waits yet."""
    waiting = waiting_trial_ids(study, None, 1)
    return storage_of(study).get_trial(waiting[0]) if waiting else None


def put_back(study: optuna.Study, trial: optuna.Trial | FrozenTrial) -> bool:
    """Let a trial wait again, with all its attributes; False where it has ended meanwhile."""
    with contextlib.suppress(UpdateFinishedTrialError):
        storage_of(study).set_trial_state_values(trial_id(trial), TrialState.WAITING)
        return True
    return False


@contextlib.contextmanager
def beating(study: optuna.Study, trial: optuna.Trial, worker: str, pace: float) -> Iterator[None]:
    """Write the worker's beat into the trial every `pace` seconds, for as long as it draws it."""
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(pace):
            number += 1
            # the thread that draws finds out that the database is gone, or that the trial is another's
            with contextlib.suppress(UpdateFinishedTrialError, StorageLost):
                heard: Any = {"worker": worker, "beat": number}
                storage_of(study).set_trial_system_attr(trial_id(trial), _BEAT, heard)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# -- attributes of the whole study


@dataclass(frozen=True)
class Orders:
    """The leader's orders to the workers of a study, each an attribute of it.

    Attributes:
        source: the name of the study, or of one beside it, whose trials are drawn now; None before any is.
        released: trials of the search below this number may be taken.
        pace: seconds from beat to beat.
        pause: seconds that an idle worker lets pass at most between two looks.
        leads: the leader's beat; None before a run has led the study.
        over: why the workers may go; None while there may be something to draw.
    """

    source: str | None = None
    released: int | None = None
    pace: float = USUAL_PACE
    pause: float = SHORTEST_PAUSE
    leads: int | None = None
    over: str | None = None


def read_orders(study: optuna.Study) -> Orders:
    """Read the leader's orders, all in one query: every look of a worker needs them."""
    attrs = storage_of(study).get_study_system_attrs(study_id(study))
    return Orders(**{order.name: attrs[order.name] for order in fields(Orders) if order.name in attrs})


def refuse(study: optuna.Study, worker: str, why: str) -> None:
    """Note for the leader that a worker may not work on the study, and why."""
    storage_of(study).set_study_system_attr(study_id(study), f"{_REFUSED} {worker}", why)


def refusals(study: optuna.Study) -> dict[str, str]:
    """Return why workers were refused, by their names."""
    attrs = storage_of(study).get_study_system_attrs(study_id(study))
    return {key[len(_REFUSED) + 1 :]: str(why) for key, why in attrs.items() if key.startswith(_REFUSED)}


def pause_for(workers: int) -> float:
    """Return the seconds between two looks of an idle worker: the more workers, the longer."""
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, workers // LOOKS_PER_SECOND))


def give_orders(study: optuna.Study, **changes: Any) -> None:
    """Change some of the orders, by their names in `Orders`."""
    for key, value in changes.items():
        storage_of(study).set_study_system_attr(study_id(study), key, value)


def draw_from(study: optuna.Study, source: optuna.Study | None) -> None:
    """Have the workers of a study take trials from this one: itself, or one beside it; None for no trials."""
    give_orders(study, source=source and source.study_name)


def begin(study: optuna.Study, pace: float) -> None:
    """Lead the study from now on; nothing may be taken yet."""
    give_orders(study, source=None, released=0, pace=pace, over=None, leads=0)
