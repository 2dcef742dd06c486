"""Judgements are kept in the study, whatever else happens to it."""

from dataclasses import replace

import filelock
import pytest
from sqlalchemy import Engine, event

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.results.store.judgements import Judgement, judgements_of
from tests.helpers.stored import stored_run


@pytest.fixture
def folder(tmp_path):
    return stored_run(tmp_path, seeds=(11,))


def said(answer="first", second=3):
    return Judgement(0, second, "p1", 11, answer, f"2026-01-01T08:00:0{second}+01:00", 7)


def kept(folder):
    return judgements_of(store.read_study(folder).judgements)


def test_a_judgement_comes_back_in_order_and_can_be_taken_back(folder):
    store.save_judgement(folder, 1, 7, said("equal", 4))
    store.save_judgement(folder, 0, 7, said())
    assert kept(folder) == (said(), said("equal", 4))
    table = load_results(folder).judgements
    assert table[["first", "second", "answer"]].values.tolist() == [[0, 3, "first"], [0, 4, "equal"]]
    store.save_judgement(folder, 0, 7, None)
    assert kept(folder) == (said("equal", 4),)


def test_a_study_that_takes_the_place_of_another_has_its_judgements(folder):
    store.save_judgement(folder, 0, 7, said())
    stored = store.read_study(folder)
    store.write_study(folder, replace(stored.facts, planned=9), stored.trials)
    assert kept(folder) == (said(),)
    assert store.read_study(folder).facts.planned == 9


def test_judging_and_running_do_not_hinder_each_other(folder):
    with store.open_study(folder) as study:  # as a run has it
        study.set_user_attr(store.DONE, None)
        store.save_judgement(folder, 0, 7, said())
        study.set_user_attr(store.DONE, "enough")
    assert kept(folder) == (said(),)
    assert store.read_study(folder).done == "enough"


def test_what_cannot_be_kept_is_said(folder, monkeypatch):
    def busy(*_args, **_more):
        raise filelock.Timeout("study.db")

    monkeypatch.setattr(filelock, "FileLock", busy)
    with pytest.raises(RunFailed, match="could not be kept"):
        store.save_judgement(folder, 0, 7, said())


@pytest.fixture
def read_only():
    def refuse(connection, _record):
        connection.execute("PRAGMA query_only = 1")

    event.listen(Engine, "connect", refuse)
    yield
    event.remove(Engine, "connect", refuse)


def test_a_database_that_takes_nothing_is_a_failed_write_and_no_bug(folder, read_only):
    with pytest.raises(RunFailed, match="could not be kept") as refused:
        store.save_judgement(folder, 0, 7, said())
    assert refused.value.why == "attempt to write a readonly database"


def test_an_answer_that_nobody_can_give_is_damage(folder):
    store.save_judgement(folder, 0, 7, said("left"))
    with pytest.raises(BadInput, match="damaged"):
        load_results(folder)
