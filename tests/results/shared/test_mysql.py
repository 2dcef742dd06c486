"""A shared study in MySQL, as far as that differs from PostgreSQL."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.trial import TrialState

from gridsearch.base.errors import Busy
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.connect import connect, leading, replace_study


def test_facts_and_rows_of_any_length_are_kept_and_found_again(mysql_database):
    """Optuna's own columns end at 64 kB."""
    long = {"images": ["\u2603" * 100] * 10_000}
    with connect(mysql_database) as storage:
        study = optuna.create_study(study_name="one", storage=storage)
        study.set_user_attr("facts", long)
        study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"rung 0000": long}))
    with connect(mysql_database) as storage:
        study = optuna.load_study(study_name="one", storage=storage)
        assert study.user_attrs == {"facts": long}
        assert study.trials[0].user_attrs == {"rung 0000": long}


def test_each_of_many_that_take_from_the_queue_has_a_trial_of_its_own(mysql_database):
    with connect(mysql_database) as storage:
        study = optuna.create_study(study_name="one", storage=storage)
        for number in range(12):
            study.enqueue_trial({"ratio": number / 12})

        def work(name: str) -> list[int]:
            with connect(mysql_database) as mine:
                seen, taken = optuna.load_study(study_name="one", storage=mine), []
                while (trial := queue.take(seen, name, None)) is not None:
                    trial.suggest_float("ratio", 0, 1)
                    store.record_rung(trial, 0, [{"file": name}], {}, {0: 0.5})
                    seen.tell(trial, 0.5)
                    taken.append(trial.number)
                return taken

        with ThreadPoolExecutor(4) as hands:
            taken = [*hands.map(work, "abcd")]
        assert sorted(itertools.chain(*taken)) == [*range(12)]
        assert {trial.state for trial in study.get_trials()} == {TrialState.COMPLETE}


def test_a_study_takes_the_place_of_another(mysql_database):
    with connect(mysql_database) as storage:
        for name, said in (("run", "old"), ("run.part", "new")):
            optuna.create_study(study_name=name, storage=storage).set_user_attr("facts", said)
        replace_study(storage, "run.part", "run")
        (study,) = storage.get_all_studies()
        assert (study.study_name, study.user_attrs) == ("run", {"facts": "new"})


def test_one_run_leads_a_study_also_after_the_server_was_started_again(mariadb, mysql_database):
    with leading(mysql_database, "one", patience=20) as first:
        with pytest.raises(Busy, match="Another run leads"), leading(mysql_database, "one"):
            pass
        mariadb.stop()
        mariadb.start()
        assert first.still()
        with pytest.raises(Busy), leading(mysql_database, "one"):
            pass


@pytest.mark.parametrize("ending", ["stop", "crash"])
def test_a_server_that_goes_away_in_mid_use_loses_nothing(mariadb, mysql_database, ending, monkeypatch):
    monkeypatch.setattr("gridsearch.results.shared.retry.LONGEST", 0.4)
    told: list[str] = []
    with connect(mysql_database, patience=60, on_wait=told.append) as storage:
        study = optuna.create_study(study_name="one", storage=storage)
        trial = study._storage.create_new_trial(study._study_id)
        for number in range(20):
            storage.set_trial_user_attr(trial, f"rung {number:04}", {"images": [number]})
            if number == 10:
                getattr(mariadb, ending)()
                threading.Timer(0.6, mariadb.start).start()
        kept = storage.get_trial(trial)
    assert [kept.user_attrs[f"rung {n:04}"]["images"] for n in range(20)] == [[n] for n in range(20)]
    assert told[0] == "The database does not answer; trying again for up to 60 s."
    assert told[1].startswith("The database is back after ")
