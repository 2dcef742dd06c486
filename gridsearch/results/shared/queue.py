"""The queue of a study: who leads it puts trials in, workers take them out, and what the dead held goes back.

A trial waits (Optuna's WAITING) with its parameters given, is taken by one worker (RUNNING) and ends. Optuna
lets one worker alone turn WAITING into RUNNING. Whoever holds a trial says so in it, once, and beats for as
long as it lives: that is its *lease*. One that was asleep may beat on for a trial that is another's by then,
which counts for nothing. Any storage of Optuna's will do, its gRPC proxy too.
"""

import contextlib
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import MustStop, RunFailed, StorageLost
from gridsearch.results.shared import sql

_LEASE = "lease"  # of a trial: who draws it
_BEAT = "beat"  # of a trial: who was heard of last, and how often
_RELEASED = "released"  # of a study: trials below this number may be taken
_OVER = "over"  # of a study: why its workers may go; None while they may not
_LEADS = "leads"  # of a study: the beat of who leads it
_PACE = "pace"  # of a study: seconds from beat to beat
_SOURCE = "source"  # of a study: the name of it, or of one beside it, whose trials are drawn now
_PAUSE = "pause"  # of a study: seconds that an idle worker lets pass between two looks
SHORTEST, LONGEST = 0.5, 5.0  # such seconds
PER_SECOND = 200  # looks of idle workers that a database should bear
AT_ONCE = 64  # trials among which a worker chooses
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


class Lost(Exception):
    """The trial is another's now: its worker was not heard of for too long."""


def holds(study: optuna.Study, trial: optuna.Trial, worker: str) -> bool:
    """Whether the trial is still this worker's: one that was not heard of for long has lost it."""
    return sql.state_and(study, trial._trial_id, _LEASE) == (TrialState.RUNNING, worker)


def require_held(study: optuna.Study, trial: optuna.Trial, worker: str) -> None:
    """Before anything is written of a trial.

    Raises:
        Lost: it is another's now.
    """
    if not holds(study, trial, worker):
        raise Lost


@contextlib.contextmanager
def own_failures(study: optuna.Study, trial: optuna.Trial, worker: str) -> Iterator[None]:
    """What goes wrong while a worker draws fails the trial only where that is still the worker's.

    Raises:
        Lost: something went wrong, and the trial is another's now.
    """
    try:
        yield
    except MustStop:  # which fails no trial
        raise
    except RunFailed:
        require_held(study, trial, worker)
        raise


def take(study: optuna.Study, worker: str, below: int | None) -> optuna.Trial | None:
    """One of the first trials that wait, for this worker alone; None where there is none.

    Args:
        below: only trials with a smaller number; None for any.
    """
    waiting = sql.waiting(study, below, AT_ONCE)
    first = zlib.crc32(worker.encode()) % max(len(waiting), 1)  # many that look at once each begin elsewhere
    for trial_id in waiting[first:] + waiting[:first]:
        if _claimed(study, trial_id):
            study._storage.set_trial_system_attr(trial_id, _LEASE, worker)
            return sql.opened(study, trial_id)
    return None


def _claimed(study: optuna.Study, trial_id: int) -> bool:
    with contextlib.suppress(UpdateFinishedTrialError):
        return study._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    return False


def put_back(study: optuna.Study, trial_id: int) -> bool:
    """Let a trial wait again, with all that is kept of it; False where it has ended meanwhile."""
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        return True
    return False


@contextlib.contextmanager
def beating(study: optuna.Study, trial: optuna.Trial, worker: str, pace: float) -> Iterator[None]:
    """The worker is heard of, every `pace` seconds, for as long as it draws this trial."""
    ended = threading.Event()

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


@dataclass(frozen=True)
class Orders:
    """What whoever leads a study says to its workers.

    Attributes:
        source: the name of the study whose trials are drawn now; None before any is.
        below: trials of the search below this number may be taken.
        pace: seconds from beat to beat.
        pause: seconds that an idle worker lets pass at most between two looks.
        beat: of whoever leads; None before a run has led it.
        over: why its workers may go; None while there may be something to draw.
    """

    source: str | None
    below: int | None
    pace: float
    pause: float
    beat: int | None
    over: str | None


def orders(study: optuna.Study) -> Orders:
    """All of it at once: it is asked for at every look."""
    said = study._storage.get_study_system_attrs(study._study_id)
    pace = float(said.get(_PACE, USUAL_PACE))
    pause = float(said.get(_PAUSE, SHORTEST))
    return Orders(said.get(_SOURCE), said.get(_RELEASED), pace, pause, said.get(_LEADS), said.get(_OVER))


def pause_for(workers: int) -> float:
    """Seconds between two looks of an idle one of so many workers: the more there are, the longer."""
    return min(LONGEST, max(SHORTEST, workers // PER_SECOND))


def let_pause(study: optuna.Study, seconds: float) -> None:
    _say(study, **{_PAUSE: seconds})


def draw_from(study: optuna.Study, source: optuna.Study | None) -> None:
    """Have the workers of a study take trials from this one: itself, or one beside it; None for no trials."""
    _say(study, **{_SOURCE: source and source.study_name})


def _say(study: optuna.Study, **facts: Any) -> None:
    for key, value in facts.items():
        study._storage.set_study_system_attr(study._study_id, key, value)


def release(study: optuna.Study, below: int) -> None:
    """Let trials below this number be taken."""
    _say(study, **{_RELEASED: below})


def begin(study: optuna.Study, pace: float) -> None:
    """A run leads the study from now on; nothing may be taken yet."""
    _say(study, **{_SOURCE: None, _RELEASED: 0, _PACE: pace, _OVER: None, _LEADS: 0})


def end(study: optuna.Study, why: str) -> None:
    """Send the workers home."""
    _say(study, **{_OVER: why})


def lead_on(study: optuna.Study, beat: int) -> None:
    """Whoever leads is alive."""
    _say(study, **{_LEADS: beat})
