"""Faults of the machine are told in words, by what the system, SQLite or PostgreSQL says; bugs are not."""

import errno
import resource
import sqlite3
import sys

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from gridsearch.app import cli
from gridsearch.base.faults import fault_of
from tests.helpers.program import gridsearch


def chained(error: Exception) -> Exception:
    """As Optuna and SQLAlchemy wrap what a driver raises."""
    outer = StorageInternalError("An exception is raised during the commit.")
    outer.__cause__ = OperationalError("INSERT", {}, error)
    return outer


def postgres(state: str) -> Exception:
    error = Exception("cannot execute INSERT in a read-only transaction")
    error.sqlstate = state
    return chained(error)


@pytest.mark.parametrize(
    ("error", "what", "fix"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/.run.lock"), "The disk is full.", "Free"),
        (OSError(errno.EROFS, "Read-only", "a/x"), "The disk can only be read.", "Name another folder"),
        (PermissionError(errno.EACCES, "Permission denied", "a/x"), "This user has no right", "as the user"),
        (OSError(errno.EMFILE, "Too many open files", "a/x"), "Too many files are open.", "ulimit -n"),
        (OSError(errno.EFBIG, "File too large"), "A file has reached", "ulimit -f"),
        (OSError(errno.EIO, "I/O error", "a/x"), "The disk, or the network folder, does not", "mount"),
        (OSError(errno.ELOOP, "Too many links", "a/x"), "The system refused", "Check the file"),
        (MemoryError(), "The memory is too small.", "ulimit -v"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "The memory is", "Close"),
        (RuntimeError("can't start new thread"), "The memory is too small.", "ulimit -u"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "The memory is", "Close"),
        (postgres("25006"), "The database can only be read.", "writes"),
        (postgres("53100"), "The database's disk is full.", "on the server"),
    ],
    ids=lambda value: str(value)[:30].replace(" ", "_") if isinstance(value, Exception) else "",
)
def test_what_where_and_how_to_mend(error, what, fix):
    found = fault_of(error, "run a.toml")
    assert found.what.startswith(what)
    assert fix in found.fix
    assert found.where == (getattr(error, "filename", None) or "run a.toml")
    assert found.exit_code == 1


def test_sqlite_names_the_machine_and_not_the_file(tmp_path):
    with pytest.raises(sqlite3.OperationalError) as opened:
        sqlite3.connect(tmp_path / "no" / "such" / "study.db")
    assert fault_of(chained(opened.value), tmp_path).what.startswith("The disk, or the network")
    database = sqlite3.connect(f"{(tmp_path / 'x.db').as_uri()}?mode=rwc", uri=True)
    database.execute("CREATE TABLE a (b)")
    database.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.OperationalError) as written:
        database.execute("INSERT INTO a VALUES (1)")
    database.execute("PRAGMA query_only = 0")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        database.execute("INSERT INTO a VALUES (zeroblob(100000))")
    database.close()
    assert fault_of(chained(written.value)).what == "The disk can only be read."
    assert fault_of(chained(full.value)).what == "The disk is full."


def test_where_few_files_may_be_open_sqlite_says_only_that_it_cannot_open_one(tmp_path, monkeypatch):
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 4096))
    assert fault_of(chained(error), tmp_path).what == "Too many files are open."


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        RuntimeError("shapes differ"),
        ImportError("No module named 'x'"),
        chained(sqlite3.OperationalError("no such table: trials")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_is_no_fault(error):
    assert fault_of(error) is None
    error.__context__ = OSError(errno.ENOSPC, "full")  # which was being handled, and led to nothing
    assert fault_of(error) is None


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["people", "json"])
def test_each_that_leaves_a_command_is_told(monkeypatch, tmp_path, flags):
    def full(*_arguments, **_settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    done = gridsearch("report", tmp_path, *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The disk is full.\n  where: report ")
    assert "Traceback" not in done.stderr
    assert ('"exit_code": 1' in done.stdout) == bool(flags)
    with pytest.raises(OSError, match="No space"):
        gridsearch("--debug", "report", tmp_path)


def test_who_closes_the_output_early_gets_no_error(monkeypatch, tmp_path):
    def closed(*_arguments, **_settings):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(cli, "app", closed)
    stream = sys.stdout
    done = gridsearch("report", tmp_path, "--json")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert sys.stdout is stream
