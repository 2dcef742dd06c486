"""The server that a shared study lies on: how it is spoken to, and what it says when it refuses."""

import contextlib
from collections.abc import Iterator

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results.shared.retry import said
from gridsearch.results.shared.retrying_storage import Patient
from gridsearch.results.shared.url import ENVIRONMENT, cleaned, redacted

ANSWER = 10  # seconds within which a server answers a new connection

# Who falls asleep, or loses its network, between two statements of a transaction would keep its row locked
# from whoever leads: the server ends such a session, and notices one whose machine is gone within a minute,
# not within TCP's two hours (https://www.postgresql.org/docs/current/runtime-config-client.html).
_SESSION = {
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": 30,
    "tcp_keepalives_interval": 10,
    "tcp_keepalives_count": 3,
}
# A server that vanished without a word is noticed after a minute: three unanswered probes, or data that
# nobody has received (https://www.postgresql.org/docs/current/libpq-connect.html).
_POSTGRES = {
    "connect_timeout": ANSWER,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "gridsearch",
    "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
}
_MYSQL = {"connect_timeout": ANSWER, "read_timeout": 60, "write_timeout": 60}


def arguments(url: sqlalchemy.URL) -> dict:
    """What the user says in the URL's query stands."""
    usual = _POSTGRES if url.get_backend_name() == "postgresql" else _MYSQL
    return {key: value for key, value in usual.items() if key not in url.query}


@contextlib.contextmanager
def named(url: str) -> Iterator[None]:
    """What a driver says of a first connection, as an error that shows no password."""
    try:
        yield
    except DBAPIError as error:
        raise RunFailed(
            "The database cannot be opened.",
            where=redacted(url),
            why=cleaned(said(error), url),
            fix="Check that it runs there, and its user and name; a password is never kept, and comes from "
            f"{ENVIRONMENT} or, with PostgreSQL, from PGPASSWORD or ~/.pgpass.",
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
    """A connection beside any pool; what it has locked is free when it ends.

    Args:
        name: that the database's list of sessions shows, at most 63 characters of ASCII.
    """
    speaking = arguments(url)
    if "application_name" in speaking:
        speaking["application_name"] = name
    engine = sqlalchemy.create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=speaking
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def rdb_of(storage: BaseStorage) -> RDBStorage:
    """The database inside a storage.

    Raises:
        BadInput: it is reached through a proxy.
    """
    inner = storage.inner if isinstance(storage, Patient) else storage
    inner = inner._backend if isinstance(inner, _CachedStorage) else inner
    if not isinstance(inner, RDBStorage):
        raise BadInput(
            "This needs the database itself.",
            why="The study is reached through a proxy, which only workers may use.",
            fix="Give the database's own URL: postgresql+psycopg:// or mysql+pymysql://.",
        )
    return inner
