"""A study is read where nothing can be written, and by one that writes at a time."""

import contextlib
import gc
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from optuna.storages._rdb.storage import _VersionManager
from PIL import Image

from gridsearch.base.errors import BadInput, Busy, RunFailed
from gridsearch.render.pictures import png_bytes
from gridsearch.report.build import build
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.results.store.integrity import damage_is_named
from tests.helpers.program import gridsearch
from tests.helpers.stored import stored_run


def test_a_folder_that_cannot_be_written_to_is_read_and_left_as_it_is(tmp_path, monkeypatch):
    run = stored_run(tmp_path / "run")
    usual = store.read_study(run)
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    found = store.read_study(run)
    assert found.facts == usual.facts
    assert [trial.user_attrs for trial in found.trials] == [trial.user_attrs for trial in usual.trials]
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_who_comes_second_is_told_who_has_the_folder(tmp_path):
    with store.locked(tmp_path), pytest.raises(Busy, match="Another run"), store.locked(tmp_path):
        pass


def test_two_that_make_the_report_at_once_make_it_whole(tmp_path):
    results = load_results(stored_run(tmp_path / "run"))
    with ThreadPoolExecutor(2) as hands:
        answers = [done.result() for done in [hands.submit(build, results) for _ in range(2)]]
    assert len({answer.sentence for answer in answers}) == 1
    assert len(pd.read_csv(results.folder / "images.csv")) == len(results.images)
    assert not list(results.folder.glob(".*.part"))


def test_a_study_that_another_program_holds_is_not_called_damaged(tmp_path):
    path = tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE studies (name TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
        with pytest.raises(RunFailed, match="cannot be read now"), damage_is_named(tmp_path):
            engine.connect().execute(sqlalchemy.text("SELECT name FROM studies"))
        other.execute("COMMIT")
        with pytest.raises(BadInput, match="damaged"), damage_is_named(tmp_path):
            engine.connect().execute(sqlalchemy.text("SELECT number FROM studies"))
    engine.dispose()


def test_what_a_run_writes_is_kept_while_its_own_process_and_others_read_the_study(tmp_path):
    """Reading must not give up the run's locks: the next reader to leave would remove the run's log."""
    run = stored_run(tmp_path / "run")
    asked = f"SELECT value_json FROM study_user_attributes WHERE key = '{store.DONE}'"
    read = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())"
    with store.open_study(run) as study:
        for said in ("first", "second"):
            store.read_study(run)
            study.set_user_attr(store.DONE, said)
            command = [sys.executable, "-c", read, run / "study.db", asked]
            assert said in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert store.read_study(run).done == "second"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed by Linux alone")
def test_a_study_that_cannot_be_opened_is_closed_again(tmp_path, monkeypatch):
    run = stored_run(tmp_path / "run")

    def full(*_arguments: object) -> None:
        raise sqlalchemy.exc.OperationalError("CREATE", {}, sqlite3.OperationalError("disk is full"))

    def still_open() -> list[str]:
        paths = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
        return [path for path in paths if path.startswith(str(run.resolve()))]

    monkeypatch.setattr(_VersionManager, "check_table_schema_compatibility", full)
    gc.disable()
    try:
        with pytest.raises(sqlalchemy.exc.OperationalError), store.open_study(run):
            pass
        assert not still_open()
    finally:
        gc.enable()


def test_a_study_that_may_not_be_read_is_no_disk_that_does_not_answer(tmp_path, monkeypatch):
    run = stored_run(tmp_path / "run")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "study.db" and may(path, mode))
    done = gridsearch("report", run)
    assert done.returncode == 1
    assert done.stderr.startswith("error: This user has no right to a file or its folder.\n  where: ")
    assert "study.db" in done.stderr


def test_a_study_that_made_pictures_smaller_is_reported(tmp_path):
    """An earlier version kept what `[images]` said of that, and wrote the former size into the text."""
    run = stored_run(tmp_path / "run")
    with store.open_study(run) as study:
        facts = store.load_facts(study)
        images = {"format": "png", "full": 1, "most": None}
        store.save_facts(study, replace(facts, experiment=facts.experiment | {"images": images}))
    small = Image.new("RGB", (8, 8), "red")
    picture = run / store.images_of(store.read_study(run).trials[1])[0]["file"]
    picture.write_bytes(png_bytes(np.asarray(small), "Reduced from: 64x64"))
    build(load_results(run))
    assert (run / "report.html").is_file()
    assert store.read_study(run).facts.experiment["images"] == {"format": "png"}


@pytest.mark.parametrize(
    ("revision", "fix"),
    [("v3.0.0.d", "optuna storage upgrade --storage sqlite:///"), ("v99.0.0.a", "the version that wrote it")],
)
def test_a_study_of_another_optuna_is_told_with_the_command_that_mends_it(tmp_path, revision, fix):
    run = stored_run(tmp_path / "run")
    with contextlib.closing(sqlite3.connect(run / "study.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(BadInput, match="of another version of Optuna") as caught:
        store.read_study(run)
    assert fix in caught.value.lines[-1]
    assert len(caught.value.lines) <= 4


def test_the_experiments_file_is_kept_beside_what_came_of_it(tmp_path):
    file, folder = tmp_path / "night.toml", tmp_path / "night"
    folder.mkdir()
    store.keep_experiment(file, folder)  # of a notebook there is none
    assert not list(folder.iterdir())
    for text in ('name = "night"\n', 'name = "night"  # with more prompts\n'):
        file.write_text(text)
        store.keep_experiment(file, folder)
        store.keep_experiment(folder / "experiment.toml", folder)  # run from its own folder
        assert (folder / "experiment.toml").read_text() == text
