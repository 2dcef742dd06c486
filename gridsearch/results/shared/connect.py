"""Connections to the PostgreSQL database of a shared study, and the errors of a first one."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import sqlalchemy
from optuna.storages import RDBStorage, get_storage
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gridsearch.base.errors import RunFailed
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.retry import LONGEST_OUTAGE, Retries, driver_message
from gridsearch.results.shared.retrying_storage import RetryingStorage
from gridsearch.results.shared.url import check_url, cleaned, parse_url, redacted

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
    url: str, patience: float = LONGEST_OUTAGE, on_wait: Callable[[str], None] | None = None
) -> Iterator[RetryingStorage]:
    """Open the storage at this URL; its tables are made where there are none.

    Args:
        patience: seconds for which a lost connection is tried again; the first one is tried once.
        on_wait: told that the database is gone, and that it is back.

    Raises:
        BadInput: the URL cannot be used.
        RunFailed: the database does not answer, or is of another version of Optuna.
    """
    check_url(url)
    parsed = parse_url(url)
    shown = parsed.render_as_string(hide_password=False)
    with explained_errors(url), _making_tables(parsed):
        # Few connections: a thousand workers share the server's. Optuna fills braces in its URL.
        database = RDBStorage(
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


@contextlib.contextmanager
def _making_tables(url: sqlalchemy.URL) -> Iterator[None]:
    """Let one process at a time make the tables: of two at once, each would find them half made."""
    with own_connection(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_TABLES_LOCK})")
        yield


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
    """Open a connection outside of any pool; its locks are free when it ends.

    Args:
        name: shown in the database's list of sessions, at most 63 characters of ASCII.
    """
    arguments = connect_arguments(url)
    if "application_name" in arguments:
        arguments["application_name"] = name
    engine = sqlalchemy.create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
