"""The password of a storage is told to nobody, whatever fails."""

import threading
import time
import traceback
from urllib.parse import quote

import pytest

from gridsearch.errors import StorageLost
from gridsearch.store import connect
from tests.cli import program
from tests.postgres import PASSWORD
from tests.workers.secrets import in_files, in_text

WRITTEN = quote(PASSWORD, safe="")


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ((WRITTEN, WRITTEN + "x"), 1, "password authentication failed"),
        ((WRITTEN, PASSWORD), 2, "%40"),
        (("127.0.0.1:", "127.0.0.1:no"), 2, "not a URL"),
        (("postgresql+psycopg", "oracle"), 2, "Unknown scheme"),
        (("/d", "/nowhere"), 1, "does not exist"),
    ],
    ids=["wrong", "not encoded", "port", "scheme", "database"],
)
def test_an_address_that_does_not_work_is_named_without_it(file, database, tmp_path, change, code, says):
    given = [file, "--storage", database.replace(*change), "--out", tmp_path / "out"]
    for command in (["run", "--json"], ["run", "--debug"], ["worker"]):
        try:
            done = program.gridsearch(*command, *given)
        except Exception as error:  # what --debug shows
            shown = "".join(traceback.format_exception(error))
        else:
            shown = done.stdout + done.stderr
            assert done.returncode == code, shown
        assert says in shown
        assert not in_text(shown), shown
    assert not in_files(file.parent, tmp_path)


def test_a_database_that_stays_away_ends_run_and_worker_without_it(
    file, database, postgres, tmp_path, monkeypatch
):
    """Both have begun, and there is nobody who draws, when it goes."""
    for opening in (connect.connect, connect.leading):
        monkeypatch.setattr(opening.__wrapped__, "__defaults__", (1.0, None))
    given = [file, "--storage", database, "--out", tmp_path / "out"]
    for command in (["run", "--workers", 0], ["worker"]):
        postgres.start()
        gone = threading.Thread(target=stopped_later, args=(postgres, tmp_path / "out"))
        gone.start()
        with pytest.raises(StorageLost) as lost:
            program.gridsearch("--debug", *command, *given)
        gone.join()
        shown = "".join(traceback.format_exception(lost.value))
        assert not in_text(shown), shown
    assert not in_files(file.parent, tmp_path)


def stopped_later(postgres, out) -> None:
    time.sleep(4)
    postgres.stop()
