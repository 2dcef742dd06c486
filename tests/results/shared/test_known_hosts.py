"""A folder's study may lie in a database: which of those are asked."""

import json

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.results import store
from gridsearch.results.store.location import POINTER, VARIABLE, Place, place_of, settle

THEIRS = "postgresql+psycopg://me@elsewhere/db?host=127.0.0.1"


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """A folder as somebody sends it, on a machine where no database was ever named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "")
    folder = tmp_path / "sent"
    folder.mkdir()
    said = {"storage": THEIRS, "study": "x", "artifacts": "s3://theirs/x"}
    (folder / POINTER).write_text(json.dumps(said))
    return folder


def test_a_database_of_a_stranger_is_not_asked(sent, tmp_path, monkeypatch):
    settle(tmp_path / "mine", Place("postgresql+psycopg://me@elsewhere/db"))
    monkeypatch.setenv(VARIABLE, "postgresql+psycopg://me:secret@here/db")
    for ask in (place_of, store.has_study, store.read_study):
        with pytest.raises(BadInput, match="never named on this machine") as refused:
            ask(sent)
        assert "secret" not in str(refused.value)


def test_a_database_that_was_named_is_remembered_without_its_password(sent, tmp_path, monkeypatch):
    mine = "postgresql+psycopg://me:secret@elsewhere/db?host=127.0.0.1"
    monkeypatch.setenv(VARIABLE, mine)
    assert place_of(sent) == Place(mine, "x", "s3://theirs/x")
    monkeypatch.setenv(VARIABLE, "")
    assert place_of(sent).url == THEIRS
    (kept,) = (tmp_path / "cache").rglob("*/storages")
    assert kept.read_text() == f"{THEIRS}\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_where_nothing_can_be_remembered_it_is_named_each_time(sent, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv(VARIABLE, THEIRS)
    assert place_of(sent).url == THEIRS
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(BadInput, match="never named"):
        place_of(sent)
