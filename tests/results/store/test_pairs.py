"""A person's file of judged pairs: what comes back, and what is never in it."""

import pytest

from gridsearch.base.errors import RunFailed
from gridsearch.base.files import data_folder
from gridsearch.results.store.pairs import KeptPair, KeptPicture, keep_pair, kept_pairs, usual_pairs_file


def pair(key, answer="first", **metrics):
    two = (
        KeptPicture("00ff", {"contrast": 50.0, "blur": None} | metrics),
        KeptPicture("11aa", {"contrast": 9.0}),
    )
    return KeptPair(key, "2026-11-29", answer, two)


def test_pairs_come_back_without_those_taken_back_or_said_anew(tmp_path):
    file = tmp_path / "new" / "pairs.jsonl"
    assert kept_pairs(file).pairs == ()
    for one in (pair("s 0"), pair("s 1"), pair("s 0", None), pair("s 2"), pair("s 1", "equal")):
        keep_pair(file, one)
    assert kept_pairs(file).pairs == (pair("s 2"), pair("s 1", "equal"))


def test_a_line_that_cannot_be_read_is_counted_and_spoils_no_other(tmp_path):
    file = tmp_path / "pairs.jsonl"
    keep_pair(file, pair("s 0"))
    whole = file.read_text()
    file.write_text(whole + whole[:40] + "\n[]\n\n" + whole.replace("s 0", "s 1").replace("50.0", "NaN"))
    found = kept_pairs(file)
    assert (found.pairs, found.unreadable) == ((pair("s 0"),), 3)


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match="could not be kept"):
        keep_pair(tmp_path / "file" / "pairs.jsonl", pair("s 0"))


def test_the_file_of_all_runs_is_where_the_system_keeps_data(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert usual_pairs_file() == tmp_path / "gridsearch" / "pairs.jsonl"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    for system, place in (("linux", ".local/share"), ("darwin", "Library/Application Support")):
        monkeypatch.setattr("sys.platform", system)
        assert data_folder() == tmp_path / place / "gridsearch"
