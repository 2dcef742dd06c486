"""A lost connection to the database: how it is told from other errors, and how a call is tried again."""

import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy.exc
from tenacity import (
    RetryCallState,
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
    return not any(map(_is_lasting, errors)) and any(map(_is_lost, errors))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _driver_errors(error: BaseException) -> list[sqlalchemy.exc.DBAPIError]:
    return [link for link in _chain(error) if isinstance(link, sqlalchemy.exc.DBAPIError)]


def _is_lasting(error: sqlalchemy.exc.DBAPIError) -> bool:
    return (getattr(error.orig, "sqlstate", None) or "").startswith(_LASTING)


def _is_lost(error: sqlalchemy.exc.DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return _primary_code(error.orig) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    lost = isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
    return lost or error.connection_invalidated


def sqlite_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code; None where the error is not SQLite's."""
    causes = [link.orig for link in _driver_errors(error)]
    return next((_primary_code(cause) for cause in causes if isinstance(cause, sqlite3.Error)), None)


def _primary_code(error: sqlite3.Error) -> int:
    """Return the lowest byte of the code (https://www.sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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
        on_wait: Callable[[str], None] | None = None,
        clean: Callable[[str], str] = str,
    ):
        self.patience, self._on_wait, self._clean = patience, on_wait, clean
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._gone_since: float | None = None
        # Random, so that many workers do not come back in one instant.
        self._backoff = wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)
        self._retrying = Retrying(
            retry=retry_if_exception(is_lost),
            wait=self._pause,
            stop=stop_after_delay(patience) | stop_when_event_set(self._stopped),
            sleep=sleep_using_event(self._stopped),
            before_sleep=self._note_gone,
            reraise=True,
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
        except Exception as error:
            if is_lost(error):
                raise self._lost(error) from error
            self._note_back()  # this error is an answer
            raise
        self._note_back()
        return result

    def _lost(self, error: Exception) -> StorageLost:
        return StorageLost(
            f"The database has not answered for {duration(self.patience)}.",
            why=self._clean(driver_message(error)),
            fix="Start it, then run the same command again: the run goes on where it stopped.",
        )

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

    def _tell(self, text: str) -> None:
        if self._on_wait is not None:
            self._on_wait(text)


def driver_message(error: BaseException) -> str:
    """Return the driver's message in one line, without SQLAlchemy's statement, parameters and link."""
    drivers = [link.orig for link in _driver_errors(error) if link.orig]
    last = drivers[-1] if drivers else [*_chain(error)][-1]
    return " ".join((str(last) or type(last).__name__).split())[:300]
