"""A folder's study may lie in a database: only one that the user names is asked."""

import json

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.results import store
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.store.location import POINTER, StudyPlace, note_place, place_of
from tests.helpers.program import gridsearch

THEIRS = "postgresql+psycopg://me:hush@elsewhere/db"
READING = ("report", "score", "compare", "judge", "dashboard", "export")


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """A folder as somebody sends it, where no database is named."""
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    folder = tmp_path / "sent"
    folder.mkdir()
    note = {"storage": THEIRS, "study": "x", "artifacts": "s3://theirs/x"}
    (folder / POINTER).write_text(json.dumps(note))
    return folder


@pytest.mark.parametrize("given", ["", "postgresql+psycopg://me:secret@here/db"])
def test_a_database_that_is_not_given_is_named_and_not_asked(sent, monkeypatch, given):
    monkeypatch.setenv(STORAGE_VARIABLE, given)
    for ask in (place_of, store.has_study, store.read_study):
        with pytest.raises(BadInput, match="elsewhere/db") as refused:
            ask(sent)
        said = str(refused.value)
        assert ("another database than the one that you gave" in said) == bool(given)
        assert ("@here/db" in said) == bool(given)
        assert STORAGE_VARIABLE in said
        assert "--storage" in said
        assert "secret" not in said
        assert "hush" not in said


@pytest.mark.parametrize("command", READING)
def test_every_command_that_reads_a_folder_says_so(sent, tmp_path, command):
    output = ["-o", tmp_path / "out.safetensors"] if command == "export" else []
    done = gridsearch(command, sent, *output)
    assert done.returncode == 2
    assert done.stderr.startswith("error: The study of this folder is in a database")
    assert "elsewhere/db" in done.stderr
    assert STORAGE_VARIABLE in done.stderr
    assert "hush" not in done.stderr


def test_the_address_that_is_given_is_the_one_that_is_used(sent, monkeypatch):
    mine = "postgresql+psycopg://someone:secret@elsewhere:5432/db"
    monkeypatch.setenv(STORAGE_VARIABLE, mine)
    assert place_of(sent) == StudyPlace(mine, "x", "s3://theirs/x")


def test_a_note_is_written_once_without_a_password(tmp_path):
    note_place(tmp_path, StudyPlace(THEIRS, "x"))
    written = (tmp_path / POINTER).read_text()
    assert "elsewhere" in written
    assert "hush" not in written
    note_place(tmp_path, StudyPlace(THEIRS.replace("me:hush", "another"), "x"))
    assert (tmp_path / POINTER).read_text() == written
    note_place(tmp_path, StudyPlace(THEIRS, "x", "s3://mine/x"))
    note_place(tmp_path, StudyPlace(THEIRS, "x"))
    assert json.loads((tmp_path / POINTER).read_text())["artifacts"] == "s3://mine/x"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (StudyPlace(None, "x"), "is in a database"),
        (StudyPlace(THEIRS.replace("elsewhere", "here"), "x"), "lies in another database"),
        (StudyPlace(THEIRS, "y"), "belongs to another study"),
    ],
)
def test_a_folder_of_another_study_is_refused(sent, place, says):
    with pytest.raises(BadInput, match=says):
        note_place(sent, place)


def test_a_folder_with_a_study_of_its_own_is_given_no_database(tmp_path):
    (tmp_path / store.FILE).touch()
    note_place(tmp_path, StudyPlace(None, "x"))
    with pytest.raises(BadInput, match="holds a study of its own"):
        note_place(tmp_path, StudyPlace(THEIRS, "x"))
