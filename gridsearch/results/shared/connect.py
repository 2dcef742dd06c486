"""Connections to the PostgreSQL database of a shared study, and the lock of the run that leads it."""

import contextlib
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial

import sqlalchemy
from optuna.storages import get_storage
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gridsearch.base.errors import Busy, RunFailed
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.optuna_tables import QuickStorage
from gridsearch.results.shared.retry import LONGEST_OUTAGE, Retries, RetryingStorage, driver_message
from gridsearch.results.shared.url import check_url, cleaned, redacted

ANSWER = 10  # seconds within which a server answers a new connection

_TABLES_LOCK = 0x677269647365  # the advisory lock under which the tables are made

# A process that falls asleep, or loses its network, between two statements of a transaction would keep its
# row locked from the run that leads: the server ends such a session, and notices one whose machine is gone
# within a minute, not within TCP's two hours
# (https://www.postgresql.org/docs/current/runtime-config-client.html).
_SESSION = {
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}
# A server that vanished without a word is noticed after a minute: three unanswered probes, or data that was
# not acknowledged (https://www.postgresql.org/docs/current/libpq-connect.html).
_ARGUMENTS = {
    "connect_timeout": ANSWER,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "gridsearch",
    "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
}


@contextlib.contextmanager
def connect(
    url: str, patience: float = LONGEST_OUTAGE, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[RetryingStorage]:
    """Open the storage at this URL; its tables are made where there are none.

    Args:
        patience: seconds for which a lost connection is tried again; the first one is tried once.
        on_wait: told that the database is gone, and that it is back.

    Raises:
        RunFailed: the database does not answer, or is of another version of Optuna.
    """
    parsed = check_url(url)
    shown = parsed.render_as_string(hide_password=False)
    with explained_errors(url), own_connection(parsed) as making:
        # One process at a time makes the tables: of two at once, each would find them half made.
        making.exec_driver_sql(f"SELECT pg_advisory_lock({_TABLES_LOCK})")
        # Few connections: a thousand workers share the server's. Optuna fills braces in its URL.
        database = QuickStorage(
            shown.replace("{", "{{").replace("}", "}}"),
            engine_kwargs={
                "pool_pre_ping": True,
                "pool_size": 1,
                "max_overflow": 4,
                "connect_args": connect_arguments(parsed),
            },
        )
    retries = Retries(patience, on_wait, partial(cleaned, url=url))
    try:
        yield RetryingStorage(get_storage(database), retries)
    finally:
        retries.stop()
        database.remove_session()
        database.engine.dispose()


def connect_arguments(url: sqlalchemy.URL) -> dict:
    """Return the driver's arguments, but for those that the user gives in the URL's query."""
    return {key: value for key, value in _ARGUMENTS.items() if key not in url.query}


@contextlib.contextmanager
def explained_errors(url: str) -> Iterator[None]:
    """Raise the errors of a first connection as named ones that show no password."""
    try:
        yield
    except DBAPIError as error:
        raise RunFailed(
            "The database cannot be opened.",
            where=redacted(url),
            why=cleaned(driver_message(error), url),
            fix="Check that it runs there, and its user and name; a password is never kept, and comes from "
            f"{STORAGE_VARIABLE}, PGPASSWORD or ~/.pgpass.",
        ) from None
    except RuntimeError as error:  # Optuna's, of its tables' version
        raise RunFailed(
            "The database is of another version of Optuna.",
            where=redacted(url),
            why=cleaned(" ".join(str(error).split()), url),
            fix="Use another database, or bring its tables up with `optuna storage upgrade`.",
        ) from None


@contextlib.contextmanager
def own_connection(url: sqlalchemy.URL, name: str = "gridsearch") -> Iterator[sqlalchemy.Connection]:
    """Open a connection of this name (63 letters) outside of any pool; its locks are free when it ends."""
    arguments = connect_arguments(url)
    if "application_name" in arguments:
        arguments["application_name"] = name
    alone = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    engine = sqlalchemy.create_engine(url, connect_args=arguments, **alone)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


# -- the lock: an advisory one of PostgreSQL

# Of the sessions that hold an advisory lock, whose key of 63 bits lies in two columns.
_HOLDER = """
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = {high} AND objid::bigint = {low}
"""


class LeaderLock:
    """The lock of one study, which lasts as long as one connection."""

    def __init__(self, url: sqlalchemy.URL, study_name: str, retries: Retries):
        self._url, self._retries = url, retries
        digest = hashlib.sha256(f"gridsearch study {study_name}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big") >> 1  # PostgreSQL keeps such locks per database
        self._holder = _HOLDER.format(high=self._key >> 32, low=self._key & 0xFFFFFFFF)
        self._open = contextlib.ExitStack()
        self._connection: sqlalchemy.Connection | None = None
        self._session: tuple | None = None

    def is_held(self) -> bool:
        """Whether no other run leads the study. A lost connection is made anew, and the lock taken again."""
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
        ending = f"SELECT pg_terminate_backend(pid, 5000) {self._holder} AND (pid, backend_start) = (%s, %s)"
        return bool(connection.exec_driver_sql(ending, self._session).scalar())

    def holder(self) -> str | None:
        """Return who holds the lock, as far as the database tells this user."""
        with own_connection(self._url) as connection:
            asked = f"SELECT application_name, backend_start {self._holder}"
            found = connection.exec_driver_sql(asked).first()
        return f"{found[0]}, since {found[1]:%Y-%m-%d %H:%M %Z}" if found and found[0] else None


@contextlib.contextmanager
def leading(
    url: str,
    study_name: str,
    patience: float = LONGEST_OUTAGE,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Iterator[LeaderLock]:
    """Lead a study: hold its lock, which the database frees when this process ends, however that is.

    Raises:
        Busy: another run leads it.
    """
    lock = LeaderLock(check_url(url), study_name, Retries(patience, on_wait, partial(cleaned, url=url)))
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
