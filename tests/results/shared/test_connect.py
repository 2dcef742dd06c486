"""A shared study: opened, led by one, replaced whole."""

import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
import sqlalchemy

from gridsearch.base.errors import Busy, RunFailed
from gridsearch.results.shared import connect as connecting
from gridsearch.results.shared.connect import connect, leading
from gridsearch.results.shared.optuna_tables import database_of, replace_study
from gridsearch.results.shared.retry import is_lost
from gridsearch.results.shared.url import parse_url
from tests.helpers.postgres import PASSWORD


def test_a_study_is_kept_and_found_again(database):
    with connect(database) as storage:
        study = optuna.create_study(study_name="one", storage=storage)
        study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"rung 0000": {"images": []}}))
    with connect(database) as storage:
        (trial,) = optuna.load_study(study_name="one", storage=storage).trials
    assert trial.value == 0.5
    assert trial.user_attrs == {"rung 0000": {"images": []}}


def test_all_that_come_to_an_empty_database_at_once_open_it(database):
    at_once = threading.Barrier(4)

    def come(_: int) -> list:
        at_once.wait()
        with connect(database) as storage:
            return storage.get_all_studies()

    with ThreadPoolExecutor(4) as hands:
        assert list(hands.map(come, range(4))) == [[]] * 4


@pytest.mark.parametrize("wrong", ["database", "password", "port"])
def test_a_first_connection_that_fails_says_so_at_once_without_the_password(postgres, database, wrong):
    url = {
        "database": postgres.url("nowhere"),
        "password": postgres.url(password="another secret"),
        "port": database.replace(str(postgres.port), "1"),
    }[wrong]
    with pytest.raises(RunFailed, match="cannot be opened") as failed, connect(url):
        pass
    said = str(failed.value)
    assert "127.0.0.1" in said
    assert PASSWORD not in said
    assert "another" not in said


def test_a_user_without_a_password_in_the_url_is_let_in_by_libpq_s_own(postgres, database, monkeypatch):
    open_url = postgres.url(database.rsplit("/", 1)[1], password=None)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with connect(open_url) as storage:
        assert storage.get_all_studies() == []


def test_tables_of_another_version_are_named(postgres, database):
    with connect(database):
        pass
    name = database.rsplit("/", 1)[1]
    postgres.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'", name)
    with pytest.raises(RunFailed, match="another version of Optuna"), connect(database):
        pass


def test_a_study_takes_the_place_of_another_and_leaves_nothing_of_it(database):
    with connect(database) as storage:
        optuna.create_study(study_name="run", storage=storage).set_user_attr("facts", "old")
        optuna.create_study(study_name="run.part", storage=storage).set_user_attr("facts", "new")
        replace_study(storage, "run.part", "run")
        (study,) = storage.get_all_studies()
        assert (study.study_name, study.user_attrs) == ("run", {"facts": "new"})
        assert optuna.load_study(study_name="run", storage=storage).study_name == "run"
        with pytest.raises(KeyError):
            replace_study(storage, "run.part", "run")


def test_a_study_in_memory_is_no_database():
    with pytest.raises(TypeError, match="is no database"):
        database_of(optuna.storages.InMemoryStorage())


def test_one_run_leads_a_study_and_a_second_is_told_who(database):
    with leading(database, "one") as first:
        assert first.is_held()
        with (
            pytest.raises(Busy, match=r"(?s)Another run leads.*process \d+, since 20"),
            leading(database, "one"),
        ):
            pass
        with leading(database, "another"):
            pass
    with leading(database, "one"):
        pass


def test_who_led_a_server_that_was_started_again_leads_on_unless_another_does(postgres, database):
    with leading(database, "one", patience=600) as first:
        postgres.stop()
        postgres.start()
        assert first.is_held()
        postgres.stop()
        postgres.start()
        with leading(database, "one"):
            assert not first.is_held()
        assert first.is_held()


def test_a_leader_s_own_session_that_was_left_behind_is_ended(postgres, database):
    with leading(database, "one", patience=600) as first:
        # as after a cut cable: the server holds the session, and this side has none
        first._connection, left = None, first._connection
        assert first.is_held()
        assert postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(1,)]
        del left


def test_whoever_falls_asleep_in_the_middle_of_a_transaction_does_not_stop_the_others(database, monkeypatch):
    brief = connecting._ARGUMENTS["options"].replace("15s", "500ms")
    monkeypatch.setitem(connecting._ARGUMENTS, "options", brief)
    url = parse_url(database)
    asleep = sqlalchemy.create_engine(url, connect_args=connecting.connect_arguments(url)).connect()
    asleep.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
    with connecting.own_connection(url) as other:
        other.exec_driver_sql("SET lock_timeout = '120s'")
        other.exec_driver_sql("SELECT pg_advisory_lock(1)")
    with pytest.raises(sqlalchemy.exc.DBAPIError) as ended:
        asleep.exec_driver_sql("SELECT 1")
    assert is_lost(ended.value)
