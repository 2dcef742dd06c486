"""A lost connection to the database: how it is told from other errors, and how a call is tried again.

An Optuna storage is made to call its database again, too.
"""

import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy.exc
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from gridsearch.base.errors import StorageLost
from gridsearch.base.words import duration

LONGEST_OUTAGE = 600.0  # seconds for which a database that does not answer is asked again
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between two tries, at most

# Errors that a server gives about the caller or about its disk: to ask again would not help
# (https://www.postgresql.org/docs/current/errcodes-appendix.html; class 28 is a refused password).
_LASTING = ("53100", "28", "3D", "54", "58")

Result = TypeVar("Result")


def is_lost(error: BaseException) -> bool:
    """Whether the database did not answer, or was busy: the same call may succeed later.

    Optuna wraps its driver's error, sometimes twice, so the whole chain is looked at. Ctrl-C may come while
    such an error is handled, and is none.
    """
    errors = _driver_errors(error) if isinstance(error, Exception) else []
    states = [getattr(one.orig, "sqlstate", None) or "" for one in errors]
    return not any(state.startswith(_LASTING) for state in states) and any(map(_is_lost, errors))


def _is_lost(error: sqlalchemy.exc.DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    lost = isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
    return lost or error.connection_invalidated


def sqlite_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code, the lowest byte (https://www.sqlite.org/rescode.html).

    None where the error is not SQLite's.
    """
    causes = [link.orig for link in _driver_errors(error) if isinstance(link.orig, sqlite3.Error)]
    return getattr(causes[0], "sqlite_errorcode", 0) & 0xFF if causes else None


def driver_message(error: BaseException) -> str:
    """Return the driver's message in one line, without SQLAlchemy's statement, parameters and link."""
    drivers = [link.orig for link in _driver_errors(error) if link.orig]
    last = drivers[-1] if drivers else [*_chain(error)][-1]
    return " ".join((str(last) or type(last).__name__).split())[:300]


def _driver_errors(error: BaseException) -> list[sqlalchemy.exc.DBAPIError]:
    return [link for link in _chain(error) if isinstance(link, sqlalchemy.exc.DBAPIError)]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class Retries:
    """Calls the database again while it does not answer, for all threads of a process together.

    Args:
        patience: seconds after which a call gives up; 0 tries once.
        on_wait: told once that the database is gone, and once that it is back.
        clean: hides what a driver's message must not show.
    """

    def __init__(
        self,
        patience: float = LONGEST_OUTAGE,
        on_wait: Callable[[str], None] = lambda _: None,
        clean: Callable[[str], str] = str,
    ):
        self.patience, self._tell, self._clean = patience, on_wait, clean
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._gone_since: float | None = None
        # Random, so that many workers do not come back in one instant.
        self._backoff = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)
        self._retrying = Retrying(
            retry=retry_if_exception(self._may_help),
            wait=self._pause,
            stop=stop_after_delay(patience) | stop_when_event_set(self._stopped),
            sleep=sleep_using_event(self._stopped),
            before_sleep=self._note_gone,
        )

    def stop(self) -> None:
        """Let every thread that waits give up: the study is being closed."""
        self._stopped.set()

    def call(self, first: Callable[[], Result], again: Callable[[], Result] | None = None) -> Result:
        """Return or raise what `first` does, or else `again` after a lost connection.

        Args:
            again: as `first`, for a call that may have been carried out although its answer was lost.

        Raises:
            StorageLost: the database did not answer for `patience` seconds.
        """
        tries = itertools.chain([first], itertools.repeat(again or first))
        try:
            result = self._retrying(lambda: next(tries)())
        except RetryError as given_up:
            lost = given_up.last_attempt.exception() or given_up
            raise StorageLost(
                f"The database has not answered for {duration(self.patience)}.",
                why=self._clean(driver_message(lost)),
                fix="Start it, then run the same command again: the run goes on where it stopped.",
            ) from lost
        self._note_back()
        return result

    def _may_help(self, error: BaseException) -> bool:
        """Whether to call again; any error but a lost connection is an answer, so the database is there."""
        lost = is_lost(error)
        if not lost and isinstance(error, Exception):
            self._note_back()
        return lost

    def _pause(self, state: RetryCallState) -> float:
        """Return the seconds to the next try; the last one is made when the patience ends."""
        left = self.patience - (state.seconds_since_start or 0.0)
        return min(self._backoff(state), max(left, 0.0))

    def _note_gone(self, _: RetryCallState) -> None:
        with self._lock:
            if self._gone_since is not None:
                return
            self._gone_since = time.monotonic()
        self._tell(f"The database does not answer; trying again for up to {duration(self.patience)}.")

    def _note_back(self) -> None:
        if self._gone_since is None:  # as nearly always: no lock is needed to see that
            return
        with self._lock:
            if self._gone_since is None:
                return
            seconds, self._gone_since = time.monotonic() - self._gone_since, None
        self._tell(f"The database is back after {duration(seconds)}.")


def _retried(name: str) -> Callable[..., Any]:
    def method(storage: "RetryingStorage", *args: Any, **kwargs: Any) -> Any:
        return storage.retries.call(lambda: getattr(storage.inner, name)(*args, **kwargs))

    return method


# The calls of a storage, each made again after a lost connection.
_CALLS = [name for name, call in vars(BaseStorage).items() if callable(call) and not name.startswith("_")]
_Retried: Any = type("_Retried", (BaseStorage,), {name: _retried(name) for name in _CALLS})


class RetryingStorage(_Retried):
    """Forwards every call to an inner storage, and calls again after a lost connection (see `Retries`).

    A call whose answer was lost may have been carried out. To read, to set an attribute, a parameter or a
    rung's value again changes nothing. `create_new_trial` may make the same trial twice: nothing tells one
    from another, and Optuna's own five tries inside one call may do so too. Each method below says what it
    does. Several threads may call it.

    Raises, in every method:
        StorageLost: the database did not answer for as long as `retries` allow.
    """

    def __init__(self, inner: BaseStorage, retries: Retries):
        self.inner, self.retries = inner, retries

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """After a lost answer, an empty study of that name and these directions is the one that was made.

        Without a name a second one may be left behind, as its random name was never learnt.
        """

        def first() -> int:
            return self.inner.create_new_study(directions, study_name)

        def again() -> int:
            try:
                return first()
            except DuplicatedStudyError:
                if study_name is None:
                    raise
                made = self.inner.get_study_id_from_name(study_name)
                alike = self.inner.get_study_directions(made) == list(directions)
                if not alike or self.inner.get_n_trials(made):
                    raise
                return made

        return self.retries.call(first, again)

    def delete_study(self, study_id: int) -> None:
        """After a lost answer, a study that is not there is one that was deleted."""

        def again() -> None:
            with contextlib.suppress(KeyError):
                self.inner.delete_study(study_id)

        self.retries.call(lambda: self.inner.delete_study(study_id), again)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """After a lost answer, a trial that has ended in this state with these values was ended by this call.

        A trial taken from the queue (RUNNING) whose answer was lost counts as taken by somebody else: False.
        It then runs without a worker, until the leader finds that nobody holds it and queues it again.
        One that is put back (WAITING), and that another worker has taken since then, stays with that worker.
        """
        waits = state == TrialState.WAITING
        begun = self.get_trial(trial_id).datetime_start if waits else None

        def first() -> bool:
            return self.inner.set_trial_state_values(trial_id, state, values)

        def again() -> bool:
            if waits and self.inner.get_trial(trial_id).datetime_start != begun:
                return True
            try:
                return first()
            except UpdateFinishedTrialError:
                ended = self.inner.get_trial(trial_id)
                if ended.state != state or (values is not None and ended.values != list(values)):
                    raise
                return True

        return self.retries.call(first, again)

    def remove_session(self) -> None:
        """Close this thread's connection, which needs no answer."""
        self.inner.remove_session()
