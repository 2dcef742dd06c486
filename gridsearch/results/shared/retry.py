"""A lost connection: how it is told from an error of another kind, and how it is waited for."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy.exc

from gridsearch.base.errors import StorageLost

PATIENCE = 600.0  # seconds
SHORTEST, LONGEST = 0.5, 15.0  # seconds between two tries

# What a server says of the caller or of its disk: to ask again would not help
# (https://www.postgresql.org/docs/current/errcodes-appendix.html; class 28 is a refused password).
_POSTGRES_STAYS = ("53100", "28", "3D", "54", "58")
# MySQL: the disk or a table is full, no right, unknown database (its error message reference).
_MYSQL_STAYS = (1021, 1044, 1045, 1049, 1114)
# An error of the proxy's own database comes as UNKNOWN with Optuna's sentence, or the driver's.
_BEHIND_PROXY = ("exception is raised during the commit", "OperationalError", "InterfaceError")

Result = TypeVar("Result")


def is_lost(error: BaseException) -> bool:
    """Whether the database did not answer, or was busy: the same call may succeed later.

    Optuna wraps its driver's error, sometimes twice, so the whole chain is looked at.
    """
    chain = list(_chain(error))
    if any(_stays(link) for link in chain):
        return False
    return any(_is_lost(link) for link in chain)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _stays(error: BaseException) -> bool:
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    sqlstate = getattr(error.orig, "sqlstate", None) or ""
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return sqlstate.startswith(_POSTGRES_STAYS) or code in _MYSQL_STAYS


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if isinstance(error.orig, sqlite3.Error):
            return _primary(error.orig) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        lost = isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
        return lost or error.connection_invalidated
    code = getattr(error, "code", None)
    if type(error).__module__.startswith("grpc") and callable(code):
        said = str(getattr(error, "details", lambda: "")() or "")
        return code().name == "UNAVAILABLE" or (
            code().name == "UNKNOWN" and any(sign in said for sign in _BEHIND_PROXY)
        )
    return False


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's primary result code, where an error is from it."""
    causes = [link.orig for link in _chain(error) if isinstance(link, sqlalchemy.exc.DBAPIError)]
    codes = [_primary(cause) for cause in causes if isinstance(cause, sqlite3.Error)]
    return next(iter(codes), None)


def _primary(error: sqlite3.Error) -> int:
    """It is the lowest byte (https://www.sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class Waiting:
    """Tries again while the database does not answer, for all threads of a process together.

    Args:
        patience: seconds after which a call gives up; 0 tries once.
        on_wait: is told once that the database is gone, and once that it is back.
        clean: hides what a driver's message must not show.
    """

    def __init__(
        self,
        patience: float = PATIENCE,
        on_wait: Callable[[str], None] | None = None,
        clean: Callable[[str], str] = str,
    ):
        self.patience, self._on_wait, self._clean = patience, on_wait, clean
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._since: float | None = None

    def end(self) -> None:
        """Whoever waits gives up: the study is being closed."""
        self._ended.set()

    def call(self, first: Callable[[], Result], again: Callable[[], Result] | None = None) -> Result:
        """What `first` returns or raises, or else `again` after a lost connection.

        Args:
            again: as `first`, for a call that may have been carried out although its answer was lost.

        Raises:
            StorageLost: the database did not answer for `patience` seconds.
        """
        begun = time.monotonic()
        attempt, tries = first, 0
        while True:
            try:
                result = attempt()
            except Exception as error:
                if not is_lost(error):
                    if tries:
                        self._is_back()
                    raise
                self._pause(error, begun, tries)
                attempt, tries = again or first, tries + 1
            else:
                if self._since is not None:
                    self._is_back()
                return result

    def _pause(self, error: Exception, begun: float, tries: int) -> None:
        """Half of the pause is chance, so that many workers do not come back in one instant."""
        pause = min(LONGEST, SHORTEST * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)
        left = begun + self.patience - time.monotonic()
        if left <= 0:
            raise self._lost(error) from error
        self._is_gone()
        if self._ended.wait(min(pause, left)):
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> StorageLost:
        return StorageLost(
            f"The database has not answered for {in_words(self.patience)}.",
            why=self._clean(said(error)),
            fix="Start it, then run the same command again: the run goes on where it stopped.",
        )

    def _is_gone(self) -> None:
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        self._tell(f"The database does not answer; trying again for up to {in_words(self.patience)}.")

    def _is_back(self) -> None:
        with self._lock:
            if self._since is None:
                return
            seconds, self._since = time.monotonic() - self._since, None
        self._tell(f"The database is back after {in_words(seconds)}.")

    def _tell(self, text: str) -> None:
        if self._on_wait is not None:
            self._on_wait(text)


def in_words(seconds: float) -> str:
    """For a sentence: `31 s`, `10 min`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def said(error: BaseException) -> str:
    """The driver's own words, in one line: without SQLAlchemy's statement, parameters and link."""
    chain = list(_chain(error))
    drivers = [link.orig for link in chain if isinstance(link, sqlalchemy.exc.DBAPIError) and link.orig]
    proxies = [link for link in chain if type(link).__module__.startswith("grpc")]
    if proxies:
        code = proxies[-1].code().name
        return " ".join(f"{code}: {proxies[-1].details() or ''}".split())[:300]
    text = str(drivers[-1] if drivers else chain[-1]) or type(chain[-1]).__name__
    return " ".join(text.split())[:300]
