"""The SQLite database of a results folder: opened for one process or for several, and replaced."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import filelock
import optuna
from sqlalchemy import URL, Connection, Engine, event

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results.store.location import FILE


def require_database(path: Path) -> None:
    """Check the first 16 bytes, which are the same in all of SQLite's files.

    Source: https://www.sqlite.org/fileformat.html.
    """
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise BadInput(
                "The study is damaged.", where=path, why="It is not an SQLite database.", fix="Delete it."
            )


@contextlib.contextmanager
def database(path: Path, shared: bool = False) -> Iterator[optuna.storages.RDBStorage]:
    """Open it in write-ahead mode: a reader does not stop the run, and a kill leaves a whole database.

    In a folder that cannot be written there is no other writer: the file is read without its log.

    Args:
        shared: several processes write, so that a transaction's reads must still hold when it writes.
    """
    writable = os.access(path.parent, os.W_OK)
    place, query = str(path.resolve()), {}
    if not writable:
        place, query = path.resolve().as_uri(), {"mode": "ro", "immutable": "1", "uri": "true"}
    url = URL.create("sqlite", database=place, query=query).render_as_string()
    storage = optuna.storages.RDBStorage(
        url, engine_kwargs={"connect_args": {"timeout": 60}}, skip_table_creation=not writable
    )
    if writable:
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
        if shared:
            _begin_with_write_lock(storage.engine)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()  # the last one out folds the write-ahead log into the file


def _begin_with_write_lock(engine: Engine) -> None:
    """Begin each transaction with the right to write.

    SQLite has no SELECT FOR UPDATE, and Python's driver begins a transaction at the first write only: two
    workers would both read that a trial waits. (docs.sqlalchemy.org, "SQLite: serializable isolation".)
    """

    @event.listens_for(engine, "connect")
    def let_sqlalchemy_begin(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections that are open already have not heard of it


@contextlib.contextmanager
def replacement_lock(folder: Path) -> Iterator[None]:
    """Let no other study take the place of a folder's, while something is added to it from beside its run.

    The lock is the operating system's, as are SQLite's own: a study.db is written on one machine only.
    """
    with filelock.FileLock(folder / f".{FILE}.lock", timeout=60):
        yield


def fold_log(path: Path) -> None:
    """Fold a database's write-ahead log into it: left behind, it would be taken for the new file's log.

    Raises:
        RunFailed: another program has the database open.
    """
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            raise RunFailed(
                "Another program has the study open.",
                where=path,
                why=str(error),
                fix="Close the dashboard or database browser and try again.",
            ) from None
