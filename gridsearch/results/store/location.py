"""The place of a folder's study: an SQLite file of its own, or a database that several machines share.

An SQLite file is opened for one process or for several, and replaced.
"""

import contextlib
import errno
import json
import os
import shlex
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import filelock
import optuna
from sqlalchemy import URL, Connection, Engine, event

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.files import write_atomic
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.optuna_tables import QuickStorage
from gridsearch.results.shared.url import redacted, same_database, without_password

FILE = "study.db"
POINTER = "storage.json"  # in the folder of a study that lies elsewhere; never a password in it
STUDY = "gridsearch"  # its name in a database of its own


@dataclass(frozen=True)
class StudyPlace:
    """The place of a study, and of its images.

    Attributes:
        url: of its database; None for the folder's own SQLite file.
        study: its name there.
        artifacts: where its images are besides the folder; None where they are not.
    """

    url: str | None = None
    study: str = STUDY
    artifacts: str | None = None


def place_of(folder: Path) -> StudyPlace:
    """Return where the study of a results folder lies.

    A folder names a database and never opens one: a stranger's could have this machine's passwords sent to
    theirs. The address that is used, with its password, is the one that the user gives.

    Raises:
        BadInput: the folder's note is damaged, or names a database that the user has not given.
    """
    noted = _noted(folder)
    if noted.url is None:
        return noted
    return replace(noted, url=_given(folder, noted.url, os.environ.get(STORAGE_VARIABLE)))


def _given(folder: Path, noted: str, given: str | None) -> str:
    """Return the given address, where it is of the database that the folder names."""
    if not given:
        raise BadInput(
            "The study of this folder is in a database; give its URL.",
            where=folder / POINTER,
            why=f"The folder names {redacted(noted)}.",
            fix=f"If you trust that database, give its address: --storage URL for `run` and `worker`, "
            f"{STORAGE_VARIABLE}=URL before any command.",
        )
    if not same_database(noted, given):
        raise BadInput(
            "The study of this folder lies in another database than the one that you gave.",
            where=folder / POINTER,
            why=f"The folder names {redacted(noted)}, and --storage or {STORAGE_VARIABLE} {redacted(given)}.",
            fix="Give the address of the folder's database, or choose another folder.",
        )
    return given


def _noted(folder: Path) -> StudyPlace:
    file = folder / POINTER
    if not file.is_file():
        return StudyPlace()
    try:
        noted = json.loads(file.read_bytes())
        return StudyPlace(str(noted["storage"]), str(noted["study"]), noted.get("artifacts"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            "storage.json is damaged.",
            where=file,
            why=str(error),
            fix="Delete that file, then run `gridsearch run` again with --storage: it writes a new one.",
        ) from None


def note_place(folder: Path, place: StudyPlace) -> None:
    """Note in a folder where its study lies. Where its images lie is kept where that is not given again.

    Raises:
        BadInput: the folder has a study already that lies elsewhere.
    """
    noted = _noted(folder)
    if noted.url is not None:
        _given(folder, noted.url, place.url)
        if noted.study != place.study:
            raise BadInput(
                "This folder belongs to another study.",
                where=folder / POINTER,
                why=f"It names the study {noted.study!r}.",
                fix="Choose another folder with --out.",
            )
        if place.artifacts in (None, noted.artifacts):
            return  # the workers of a run begin all at once, and would write it beside one another
    if place.url is None:
        return
    if (folder / FILE).is_file():
        raise BadInput(
            "This folder holds a study of its own.",
            where=folder / FILE,
            why=f"The run was to be kept in {redacted(place.url)}.",
            fix=f"To go on with it, leave --storage out and {STORAGE_VARIABLE} unset; or choose another "
            "folder with --out.",
        )
    note = {"storage": without_password(place.url), "study": place.study, "artifacts": place.artifacts}
    write_atomic(folder / POINTER, json.dumps(note, indent=2) + "\n")


# -- the file


def require_database(path: Path) -> None:
    """Check that a file is an SQLite database. SQLite alone opens it, and writes nothing.

    A process that opens and closes the file by itself gives up every lock that it has on it. Another one then
    takes itself for the last to leave, and removes the log that a run still writes to
    (https://www.sqlite.org/howtocorrupt.html, on advisory locks).

    Raises:
        BadInput: it is none.
        PermissionError: it may not be read; SQLite would only say that it cannot be opened.
    """
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    place = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
            found = path.stat().st_size > 0  # SQLite takes nothing for an empty database
    except sqlite3.DatabaseError as error:  # where it cannot be opened, the read that follows says so
        found = getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB
    if not found:
        why = "It is not an SQLite database."
        raise BadInput("The study is damaged.", where=path, why=why, fix="Delete it.")


def require_own_log(path: Path) -> None:
    """Check that a write-ahead log beside a database is its own; nothing is written meanwhile.

    A study that was restored beside another's log would be spoiled when it is opened: SQLite takes any log
    with right checksums for the database's (https://www.sqlite.org/walformat.html).
    """
    log = path.with_name(f"{path.name}-wal")
    if not (log.is_file() and log.stat().st_size):
        return
    place = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True, timeout=60)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return  # it is busy, or cannot be opened: the read that follows says so
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BadInput(
            "The study and the log beside it do not belong together.",
            where=log,
            why=" ".join(found.split())[:200],
            fix=f"If {path.name} was restored from a copy, restore that copy's log too, or move {log.name} "
            f"and {path.name}-shm away; then give the same command again.",
        )


@contextlib.contextmanager
def database(path: Path, shared: bool = False) -> Iterator[optuna.storages.RDBStorage]:
    """Open it in write-ahead mode: a reader does not stop the run, and a kill leaves a whole database.

    In a folder that cannot be written there is no other writer: the file is read without its log. Where it is
    `shared`, several processes write, so that a transaction's reads must still hold when it writes.
    """
    writable = os.access(path.parent, os.W_OK)
    place, query = str(path.resolve()), {}
    if not writable:
        place, query = path.resolve().as_uri(), {"mode": "ro", "immutable": "1", "uri": "true"}
    url = URL.create("sqlite", database=place, query=query).render_as_string()
    try:
        storage = QuickStorage(
            url, engine_kwargs={"connect_args": {"timeout": 60}}, skip_table_creation=not writable
        )
    except RuntimeError as error:  # Optuna's, of its tables' version
        old = "storage upgrade" in str(error)
        command = f"optuna storage upgrade --storage sqlite:///{shlex.quote(str(path.resolve()))}"
        raise BadInput(
            "The study is of another version of Optuna.",
            where=path,
            why=" ".join(str(error).split()),
            fix=f"Run {command}"
            if old
            else "Update Optuna, or read the folder with the version that wrote it.",
        ) from None
    try:
        if writable:
            with storage.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
            if shared:
                _begin_with_write_lock(storage.engine)
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


def replacement_lock(folder: Path) -> contextlib.AbstractContextManager:
    """Let no other study take the place of a folder's, while something is added to it from beside its run.

    The lock is the operating system's, as are SQLite's own: a study.db is written on one machine only.
    """
    return filelock.FileLock(folder / f".{FILE}.lock", timeout=60)


def checkpoint(folder: Path) -> None:
    """Copy what the write-ahead log holds into a folder's database: a copy of that file alone is whole then.

    Where a reader is in the way for long, or the study lies elsewhere, nothing is done.
    """
    path = folder / FILE
    if not path.is_file():
        return
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(path, timeout=5)) as connection,
    ):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fold_log(path: Path) -> None:
    """Fold a database's write-ahead log into it: left behind, it would be taken for the new file's log."""
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
