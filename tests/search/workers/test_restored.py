"""A night's files restored from a backup of another minute, and a worker whose clock is another."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from gridsearch.experiment.experiment import load_experiment
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from tests.helpers.program import gridsearch
from tests.helpers.small_run import Noting, Quiet
from tests.search.workers.night import assert_same_run, begun, ended

MIXED = ("study.db", "study.db-wal", "study.db-shm")


@pytest.fixture(scope="module")
def minutes(file, tmp_path_factory):
    """A run after three trials, and after six, each reported."""
    folder = tmp_path_factory.mktemp("minutes")
    for name, trials in (("early", 3), ("late", 6)):
        run_experiment(load_experiment(file), file, folder / "run", Budget(trials=trials), Quiet())
        assert gridsearch("report", folder / "run").returncode == 0
        shutil.copytree(folder / "run", folder / name)
    return folder


def restored(minutes, out, study, files):
    """The study of one minute beside all other files of another."""
    shutil.copytree(minutes / files, out)
    for name in MIXED:
        (out / name).unlink(missing_ok=True)
    shutil.copy(minutes / study / "study.db", out)
    return out


def said_of(out):
    return json.loads(gridsearch("report", out, "--json").stdout)["notes"]


@pytest.mark.night
def test_an_older_study_beside_newer_pictures(minutes, file, whole, tmp_path):
    out = restored(minutes, tmp_path / "out", "early", "late")
    before = {path.name: path.read_bytes() for path in (out / "images").iterdir()}
    (note,) = said_of(out)
    assert "holds pictures of 3 trials (3 to 5) that its study does not know" in note
    assert pd.read_csv(out / "trials.csv")["state"].eq("COMPLETE").sum() == 3  # the tables are the study's
    told = Noting()
    run_experiment(load_experiment(file), file, out, Budget(), told)
    assert note in told.notes
    assert before.items() <= {path.name: path.read_bytes() for path in (out / "images").iterdir()}.items()
    assert_same_run(out, whole)
    assert said_of(out) == []


@pytest.mark.night
def test_a_newer_study_beside_older_pictures(minutes, file, whole, tmp_path):
    out = restored(minutes, tmp_path / "out", "late", "early")
    (note,) = said_of(out)
    assert "lacks 6 of the 14 pictures that its study names" in note
    assert pd.read_csv(out / "trials.csv")["state"].eq("COMPLETE").sum() == 6
    told = Noting()
    run_experiment(load_experiment(file), file, out, Budget(), told)
    assert note in told.notes
    kept = load_results(out).images
    for name in set(kept["file"]) - {path.relative_to(out).as_posix() for path in out.glob("*/*.png")}:
        shutil.copy(minutes / "late" / name, out / name)  # the rest of the backup is found, too
    assert_same_run(out, whole)


# A process of a machine of another name, three hours behind.
BEHIND = """
import datetime, socket, sys, time
real, host = time.time, socket.gethostname()
class Behind(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return super().now(zone) - datetime.timedelta(hours=3)
datetime.datetime, time.time, socket.gethostname = Behind, lambda: real() - 3 * 3600, lambda: "behind"
from gridsearch.app.cli import main
main()
"""


@pytest.mark.night
def test_a_worker_whose_clock_is_hours_behind_draws_the_same_run(file, whole, tmp_path):
    out = tmp_path / "out"
    leader = begun("run", file, "--out", out, "--workers", 0)
    given = ["worker", str(file), "--out", str(out)]
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", BEHIND, *given],
        env=os.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "No progress" not in ended(leader)
    assert "the run is done" in ended(worker)
    assert_same_run(out, whole)
