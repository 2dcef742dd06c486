"""A night on a database that several processes share: it goes and comes back, and its password is nowhere."""

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import optuna
import psutil
import pytest

from gridsearch.base.errors import MustStop
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.connect import connect
from gridsearch.search.trial.failures import named_failures
from tests.helpers import program
from tests.helpers.postgres import binaries_here, newer_package, serving
from tests.search.workers.night import assert_same_run, away, begun, drawn, ended, fill, wait_for
from tests.search.workers.secrets import in_bucket, in_database, in_files, in_text


@pytest.mark.night
def test_a_database_that_goes_and_comes_back_costs_nothing_and_no_secret_is_told(
    file, whole, database, postgres, bucket, tmp_path
):
    out, third = tmp_path / "out", tmp_path / "third"
    given = ["--storage", database, "--artifacts", bucket]
    with commands_seen() as commands, away(postgres, out, 6.0):
        done = program.gridsearch("--debug", "run", file, "--out", out, "--workers", 2, *given)
    assert done.returncode == 0, done.stderr
    assert "The database is back" in done.stdout + (out / "logs" / "worker-1.log").read_text()
    assert_same_run(out, whole)

    third.mkdir()
    (third / "storage.json").write_bytes((out / "storage.json").read_bytes())
    report = program.gridsearch("report", third)
    assert report.returncode == 0, report.stderr
    assert_same_run(third, whole)

    assert any("worker" in command for command in commands)
    assert not in_text("\n".join([*commands, done.stdout, done.stderr, report.stdout, report.stderr]))
    assert not in_files(tmp_path, Path(os.environ["XDG_CACHE_HOME"]))
    assert not in_database(postgres, database)
    assert not in_bucket(boto3.resource("s3").Bucket("night"))


@pytest.mark.night
def test_a_database_that_is_gone_for_half_a_minute_costs_nothing(
    file, whole, database, postgres, tmp_path, monkeypatch
):
    monkeypatch.setenv(STORAGE_VARIABLE, database)
    run = begun("run", file, "--out", tmp_path / "out", "--workers", 2)
    with away(postgres, tmp_path / "out", 30.0):
        said = ended(run)
    assert "The database is back after" in said
    assert_same_run(tmp_path / "out", whole)


@contextlib.contextmanager
def commands_seen() -> Iterator[set[str]]:
    """The command lines of what this process begins, directly or not, as any user of the machine may see."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.add(" ".join(process.cmdline()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.night
def test_a_database_that_can_only_be_read_is_named(database, postgres, tmp_path):
    """As a standby is, or one whose owner has stopped all writing."""
    with connect(database) as storage:
        optuna.create_study(study_name="night", storage=storage)
    name = database.rpartition("/")[2]
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with connect(database) as storage:
        study = optuna.load_study(study_name="night", storage=storage)
        with pytest.raises(MustStop, match="The database can only be read"), named_failures(tmp_path):
            study.set_user_attr("anything", 1)


@pytest.mark.night
def test_a_server_that_comes_back_with_a_new_major_version_costs_nothing(
    file, whole, postgres, tmp_path, monkeypatch
):
    newer = newer_package()
    with serving(binaries_here()) as server:
        (before,) = server.execute("SHOW server_version_num")[0]
        run = begun("run", file, "--out", tmp_path / "out", "--workers", 1, url=server.url())
        wait_for(lambda: drawn(tmp_path / "out") >= 4)
        server.stop()
        server.upgrade(newer)
        server.start()
        said = ended(run)
        (after,) = server.execute("SHOW server_version_num")[0]
        assert "The database is back after" in said
        assert int(before) // 10_000 < int(after) // 10_000
        monkeypatch.setenv(STORAGE_VARIABLE, server.url())
        assert_same_run(tmp_path / "out", whole)


@pytest.mark.night
@pytest.mark.parametrize(
    ("trouble", "what"),
    [("read", "The database can only be read."), ("full", "The database's disk is full.")],
    ids=["read-only", "full"],
)
def test_a_database_that_takes_no_more_stops_the_run_which_goes_on_later(
    file, whole, postgres, tmp_path, small, monkeypatch, trouble, what
):
    """Whether it is set so while the run has it open, or its disk fills."""
    out, name = tmp_path / "out", f"only_{trouble}"
    postgres.start()
    postgres.own(small)
    postgres.execute(f"CREATE TABLESPACE {name} LOCATION '{small}'")
    postgres.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
    monkeypatch.setenv(STORAGE_VARIABLE, postgres.url(name))

    def refuse() -> None:
        wait_for(lambda: drawn(out) >= 4)
        if trouble == "full":
            fill(small / "filler", 0)
            return
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    try:
        with ThreadPoolExecutor(1) as thread:
            refused = thread.submit(refuse)
            done = program.gridsearch("run", file, "--out", out, "--workers", 1)
            refused.result()
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {what}\n"), done.stderr
        (small / "filler").unlink(missing_ok=True)
        postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        done = program.gridsearch("run", file, "--out", out, "--workers", 1)
        assert done.returncode == 0, done.stderr
        assert_same_run(out, whole)
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
        postgres.execute(f"DROP TABLESPACE {name}")
