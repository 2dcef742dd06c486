"""The password of a storage is told to nobody, whatever fails."""

import traceback
from urllib.parse import quote

import pytest

from gridsearch.app.cli.workers import WorkerProcesses
from gridsearch.base.errors import StorageLost
from gridsearch.experiment.experiment import load_experiment
from gridsearch.results import store
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.connect import connect, leading
from gridsearch.results.store.location import StudyPlace, note_place
from gridsearch.search.prepare import prepare
from gridsearch.search.workers import worker
from tests.helpers import program
from tests.helpers.postgres import PASSWORD
from tests.helpers.small_run import Quiet
from tests.search.workers.secrets import in_files, in_text

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


@pytest.mark.parametrize(
    "command",
    [["run", "--workers", 0], pytest.param(["worker"], marks=pytest.mark.night)],
    ids=["run", "worker"],
)
def test_a_database_that_stays_away_ends_what_waits_for_it_without_it(
    file, database, postgres, tmp_path, monkeypatch, command
):
    """It goes at the first look at the queue."""
    for opening in (connect, leading):
        monkeypatch.setattr(opening.__wrapped__, "__defaults__", (1.0, None))
    for waits, name in ((WorkerProcesses, "look"), (worker, "work_once")):
        monkeypatch.setattr(waits, name, lambda *_: postgres.stop() or [])
    given = [file, "--storage", database, "--out", tmp_path / "out"]
    if command == ["worker"]:
        settle(file, tmp_path / "out", database, monkeypatch)
    with pytest.raises(StorageLost) as lost:
        program.gridsearch("--debug", *command, *given)
    shown = "".join(traceback.format_exception(lost.value))
    assert not in_text(shown), shown
    assert not in_files(file.parent, tmp_path)


def settle(file, out, database, monkeypatch) -> None:
    """A study in the database, as a run begins it."""
    monkeypatch.setenv(STORAGE_VARIABLE, database)
    out.mkdir()
    note_place(out, StudyPlace(database, "small"))
    store.write_study(out, prepare(load_experiment(file), file, out, Quiet().hashing).facts)
