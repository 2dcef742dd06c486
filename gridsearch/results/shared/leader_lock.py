"""Who leads a shared study: one run at a time, as the database's own lock says."""

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable, Iterator

import sqlalchemy
from optuna.storages import BaseStorage

from gridsearch.base.errors import BadInput, Busy
from gridsearch.results.shared.retry import PATIENCE, Waiting
from gridsearch.results.shared.server import named, own_connection, rdb_of
from gridsearch.results.shared.url import check_url, cleaned, is_proxy, parse_url, redacted

# Of the sessions that hold an advisory lock of this key: a key of 63 bits lies in two columns.
_HOLDER = """
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = :high AND objid::bigint = :low
"""


class Leading:
    """That this process leads a study: a lock which lasts as long as one connection."""

    def __init__(self, url: sqlalchemy.URL, study_name: str, waiting: Waiting):
        self._url, self._name, self._waiting = url, study_name, waiting
        self._open = contextlib.ExitStack()
        self._connection: sqlalchemy.Connection | None = None
        self._session: tuple | None = None

    def still(self) -> bool:
        """Whether no other run leads the study. A lost connection is made anew, and the lock taken again.

        Raises:
            StorageLost: the database does not answer.
        """
        return self._waiting.call(self._ask, self._take)

    def end(self) -> None:
        # nobody waits for the farewell of a connection that is gone
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            self._open.close()
        self._connection = None

    def _ask(self) -> bool:
        if self._connection is None:
            return self._take()
        self._connection.exec_driver_sql("SELECT 1")
        return True

    def _take(self) -> bool:
        self.end()
        label = f"gridsearch on {socket.gethostname()}, process {os.getpid()}"
        label = label.encode("ascii", "replace").decode()[:63]
        self._connection = self._open.enter_context(own_connection(self._url, label))
        taken = self._lock() or (self._end_former() and self._lock())
        if not taken:
            self.end()
        return taken

    def _lock(self) -> bool:
        connection = self._connection
        if connection.dialect.name != "postgresql":
            return (
                connection.exec_driver_sql(
                    f"SELECT GET_LOCK('{_mysql_name(self._url, self._name)}', 0)"
                ).scalar()
                == 1
            )
        if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_key(self._name)})").scalar():
            return False
        mine = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self._session = tuple(connection.exec_driver_sql(mine).one())
        return True

    def _end_former(self) -> bool:
        """A network that failed may leave this run's former session behind, with the lock: it is ended."""
        if self._session is None:
            return False
        pid, begun = self._session
        former = f"SELECT pg_terminate_backend(pid, 5000) {_HOLDER} AND pid = :pid AND backend_start = :begun"
        return bool(self._run(former, pid=pid, begun=begun).scalar())

    def holder(self) -> str | None:
        """Who holds the lock, as far as the database tells this user."""
        with own_connection(self._url) as connection:
            if connection.dialect.name != "postgresql":
                return None
            found = self._run(f"SELECT application_name, backend_start {_HOLDER}", connection).first()
        return f"{found[0]}, since {found[1]:%Y-%m-%d %H:%M %Z}" if found and found[0] else None

    def _run(
        self, statement: str, connection: sqlalchemy.Connection | None = None, **values
    ) -> sqlalchemy.CursorResult:
        key = _key(self._name)
        values |= {"high": key >> 32, "low": key & 0xFFFFFFFF}
        return (connection or self._connection).execute(sqlalchemy.text(statement), values)


@contextlib.contextmanager
def leading(
    place: str | BaseStorage,
    study_name: str,
    patience: float = PATIENCE,
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[Leading]:
    """One run leads a study. The lock is the database's: it goes with the run, however that ends.

    Args:
        place: the URL of the database, or a storage that is open.
        patience: as of `connect`.

    Raises:
        Busy: another run leads it.
        BadInput: the study is reached through a proxy.
        RunFailed: nobody answers there.
    """
    url = _database_url(place)
    text = url.render_as_string(hide_password=False)
    lead = Leading(url, study_name, Waiting(patience, on_wait, lambda said: cleaned(said, text)))
    try:
        with named(text):
            taken = lead._take()
            holder = None if taken else lead.holder()
        if not taken:
            raise Busy(
                "Another run leads this study.",
                where=f"{study_name} in {redacted(text)}",
                why=holder,
                fix="Wait for it, or add to it with `gridsearch worker`.",
            )
        yield lead
    finally:
        lead.end()


def _database_url(place: str | BaseStorage) -> sqlalchemy.URL:
    if not isinstance(place, str):
        return rdb_of(place).engine.url
    check_url(place)
    if is_proxy(place):
        raise BadInput(
            "A run that leads needs the database itself.",
            where=redacted(place),
            why="A proxy keeps no lock; only workers may use it.",
            fix="Give the database's own URL: postgresql+psycopg:// or mysql+pymysql://.",
        )
    return parse_url(place)


def _key(study_name: str) -> int:
    """63 bits, the same on every machine; PostgreSQL keeps such locks per database."""
    digest = hashlib.sha256(f"gridsearch study {study_name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _mysql_name(url: sqlalchemy.URL, study_name: str) -> str:
    """MySQL keeps such locks per server, under names of at most 64 characters."""
    return "gridsearch-" + hashlib.sha256(f"{url.database} {study_name}".encode()).hexdigest()[:48]
