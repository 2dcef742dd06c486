"""The lock that lets one run at a time lead a shared study: an advisory lock of PostgreSQL."""

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial

import sqlalchemy

from gridsearch.base.errors import Busy
from gridsearch.results.shared.connect import explained_errors, own_connection
from gridsearch.results.shared.retry import LONGEST_OUTAGE, Retries
from gridsearch.results.shared.url import check_url, cleaned, parse_url, redacted

# Of the sessions that hold an advisory lock of this key: a key of 63 bits lies in two columns.
_HOLDER = """
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = :high AND objid::bigint = :low
"""


class LeaderLock:
    """The lock of one study, which lasts as long as one connection."""

    def __init__(self, url: sqlalchemy.URL, study_name: str, retries: Retries):
        self._url, self._key, self._retries = url, _key(study_name), retries
        self._open = contextlib.ExitStack()
        self._connection: sqlalchemy.Connection | None = None
        self._session: tuple | None = None

    def is_held(self) -> bool:
        """Whether no other run leads the study. A lost connection is made anew, and the lock taken again.

        Raises:
            StorageLost: the database does not answer.
        """
        return self._retries.call(self._ask, self.take)

    def release(self) -> None:
        """Give the lock back."""
        # a connection that is gone needs no closing
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            self._open.close()
        self._connection = None

    def _ask(self) -> bool:
        if self._connection is None:
            return self.take()
        self._connection.exec_driver_sql("SELECT 1")
        return True

    def take(self) -> bool:
        """Take the lock over a new connection; False where another run has it."""
        self.release()
        label = f"gridsearch on {socket.gethostname()}, process {os.getpid()}"
        label = label.encode("ascii", "replace").decode()[:63]
        new = self._connection = self._open.enter_context(own_connection(self._url, label))
        taken = self._try_lock(new) or (self._end_former_session(new) and self._try_lock(new))
        if not taken:
            self.release()
        return taken

    def _try_lock(self, connection: sqlalchemy.Connection) -> bool:
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({self._key})").scalar():
            return False
        mine = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self._session = tuple(connection.exec_driver_sql(mine).one())
        return True

    def _end_former_session(self, connection: sqlalchemy.Connection) -> bool:
        """End this run's former session: a network that failed may leave it behind, with the lock."""
        if self._session is None:
            return False
        pid, begun = self._session
        former = f"SELECT pg_terminate_backend(pid, 5000) {_HOLDER} AND pid = :pid AND backend_start = :begun"
        return bool(self._run(connection, former, pid=pid, begun=begun).scalar())

    def holder(self) -> str | None:
        """Return who holds the lock, as far as the database tells this user."""
        with own_connection(self._url) as connection:
            found = self._run(connection, f"SELECT application_name, backend_start {_HOLDER}").first()
        return f"{found[0]}, since {found[1]:%Y-%m-%d %H:%M %Z}" if found and found[0] else None

    def _run(self, connection: sqlalchemy.Connection, statement: str, **values) -> sqlalchemy.CursorResult:
        values |= {"high": self._key >> 32, "low": self._key & 0xFFFFFFFF}
        return connection.execute(sqlalchemy.text(statement), values)


@contextlib.contextmanager
def leading(
    url: str,
    study_name: str,
    patience: float = LONGEST_OUTAGE,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[LeaderLock]:
    """Lead a study: hold its lock, which the database frees when this process ends, however that is.

    Args:
        patience, on_wait: as of `connect`.

    Raises:
        Busy: another run leads it.
        RunFailed: the database does not answer.
    """
    check_url(url)
    lock = LeaderLock(parse_url(url), study_name, Retries(patience, on_wait, partial(cleaned, url=url)))
    try:
        with explained_errors(url):
            taken = lock.take()
            holder = None if taken else lock.holder()
        if not taken:
            raise Busy(
                "Another run leads this study.",
                where=f"{study_name} in {redacted(url)}",
                why=holder,
                fix="Wait for it, or add to it with `gridsearch worker`.",
            )
        yield lock
    finally:
        lock.release()


def _key(study_name: str) -> int:
    """Return 63 bits, the same on every machine; PostgreSQL keeps such locks per database."""
    digest = hashlib.sha256(f"gridsearch study {study_name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
