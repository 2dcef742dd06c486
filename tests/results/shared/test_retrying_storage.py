"""A database that is stopped, killed, busy or full: what is waited for, and what is lost."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import optuna
import pytest
import sqlalchemy
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState, create_trial

from gridsearch.base.errors import StorageLost
from gridsearch.results.shared.connect import connect
from gridsearch.results.shared.optuna_private import study_id
from gridsearch.results.shared.retry import Retries, RetryingStorage, is_lost
from tests.helpers.postgres import PASSWORD

WAITING, RUNNING, COMPLETE = TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE


class AnswerLost(InMemoryStorage):
    """Carries out the next call of `method`, then says that the connection is gone."""

    def __init__(self, method: str = ""):
        super().__init__()
        self.method, self.meanwhile = method, lambda: None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name != super().__getattribute__("__dict__").get("method"):
            return found
        self.method = ""

        def lost(*args, **kwargs):
            found(*args, **kwargs)
            self.meanwhile()
            raise gone()

        return lost


def gone() -> StorageInternalError:
    """As Optuna says it."""
    try:
        raise StorageInternalError("during the commit") from sqlalchemy.exc.OperationalError(
            "", {}, OSError()
        )
    except StorageInternalError as error:
        return error


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("gridsearch.results.shared.retry.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("gridsearch.results.shared.retry.LONGEST_PAUSE", 0.4)


@pytest.mark.parametrize("ending", ["stop", "crash"])
def test_a_server_that_goes_away_in_mid_use_loses_nothing(postgres, database, ending):
    """One thread records while another beats; the server is away for more than half a second."""
    told: list[str] = []
    with connect(database, patience=600, on_wait=told.append) as storage:
        study = optuna.create_study(study_name="one", storage=storage)
        trial = storage.create_new_trial(study_id(study))
        stop = threading.Event()

        def beat() -> int:
            beats = 0
            while not stop.is_set():
                beats += 1
                storage.set_trial_system_attr(trial, "beat", beats)
            return beats

        def record() -> None:
            for number in range(40):
                storage.set_trial_user_attr(trial, f"rung {number:04}", {"images": [number]})
                if number == 20:
                    getattr(postgres, ending)()
                    threading.Timer(0.6, postgres.start).start()

        with ThreadPoolExecutor(1) as other:
            beating = other.submit(beat)
            try:
                record()
            finally:
                stop.set()
            beats = beating.result()
        kept = storage.get_trial(trial)
    assert [kept.user_attrs[f"rung {n:04}"]["images"] for n in range(40)] == [[n] for n in range(40)]
    assert kept.system_attrs["beat"] == beats
    assert told[0] == "The database does not answer; trying again for up to 10 min."
    assert told[1].startswith("The database is back after ")


def test_patience_ends_with_a_sentence_that_holds_no_password(postgres, database):
    with connect(database, patience=0.3) as storage:
        postgres.stop()
        with pytest.raises(StorageLost, match=r"(?s)has not answered for 0 s.*refused.*goes on") as lost:
            storage.get_all_studies()
    assert PASSWORD not in str(lost.value)


def test_who_waits_in_another_thread_gives_up_when_the_study_is_closed(postgres, database):
    with ThreadPoolExecutor(1) as other:
        with connect(database, patience=600) as storage:
            postgres.stop()
            waiting = other.submit(storage.get_all_studies)
            time.sleep(0.2)
        with pytest.raises(StorageLost):
            waiting.result(timeout=300)


def test_a_locked_sqlite_is_waited_for_and_a_full_one_is_not(tmp_path):
    file = tmp_path / "study.db"
    told: list[str] = []
    inner = RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": 0.05}})
    storage = RetryingStorage(inner, Retries(600, told.append))
    study = optuna.create_study(storage=storage)
    with closing(sqlite3.connect(file, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.4, other.rollback).start()
        study.set_user_attr("done", True)
    assert study.user_attrs["done"] is True
    assert len(told) == 2  # it does not answer; it is back

    # SQLite keeps to the least that fits what is there, for each connection
    engine = storage.inner.engine
    sqlalchemy.event.listen(
        engine, "checkout", lambda opened, *_: opened.execute("PRAGMA max_page_count = 1")
    )
    with pytest.raises(StorageInternalError) as full:
        study.set_user_attr("much", "x" * 100_000)
    assert "full" in str(full.value.__cause__)
    assert len(told) == 2


def test_a_full_disk_of_the_server_is_no_lost_connection():
    import psycopg

    full = sqlalchemy.exc.OperationalError("", {}, psycopg.errors.DiskFull("no space left"))
    shut = sqlalchemy.exc.OperationalError("", {}, psycopg.errors.AdminShutdown("terminating"))
    assert (is_lost(full), is_lost(shut)) == (False, True)


def test_an_ending_whose_answer_was_lost_counts_once_and_another_s_does_not():
    storage = RetryingStorage(AnswerLost(), Retries(20))
    study = optuna.create_study(storage=storage)
    mine = storage.create_new_trial(study_id(study))
    storage.inner.method = "set_trial_state_values"
    assert storage.set_trial_state_values(mine, COMPLETE, [0.5])
    assert storage.get_trial(mine).values == [0.5]
    with pytest.raises(UpdateFinishedTrialError):
        storage.set_trial_state_values(mine, COMPLETE, [0.5])


def test_a_trial_put_back_whose_answer_was_lost_stays_with_who_took_it_since():
    storage = RetryingStorage(AnswerLost(), Retries(20))
    study = optuna.create_study(storage=storage)
    trial = storage.create_new_trial(study_id(study))
    storage.inner.meanwhile = lambda: storage.inner.set_trial_state_values(trial, RUNNING)
    storage.inner.method = "set_trial_state_values"
    assert storage.set_trial_state_values(trial, WAITING)
    assert storage.get_trial(trial).state == RUNNING


def test_a_trial_whose_taking_was_not_answered_is_not_this_worker_s():
    storage = RetryingStorage(AnswerLost(), Retries(20))
    study = optuna.create_study(storage=storage)
    trial = storage.create_new_trial(study_id(study), create_trial(state=WAITING))
    storage.inner.method = "set_trial_state_values"
    assert not storage.set_trial_state_values(trial, RUNNING)


def test_a_study_is_made_and_deleted_once():
    storage = RetryingStorage(AnswerLost("create_new_study"), Retries(20))
    optuna.create_study(study_name="one", storage=storage)
    storage.inner.method = "delete_study"
    optuna.delete_study(study_name="one", storage=storage)
    assert storage.get_all_studies() == []
    optuna.create_study(study_name="one", storage=storage).add_trial(create_trial(value=1.0))
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(study_name="one", storage=storage)
