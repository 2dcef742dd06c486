"""Workers and the run that leads them, killed at random moments: nothing is lost, doubled, or half there."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from gridsearch import store
from gridsearch.experiment import load_experiment
from gridsearch.report.tables import load_results
from gridsearch.search.loop import Budget
from gridsearch.search.run import run as run_here
from gridsearch.store.place import VARIABLE
from tests.test_run import Quiet, settings

KILLS = 50
TRIALS = 201  # of four images
LAST = 16  # images that the run still has to draw at the last kill, lest it be over before
TIMES = ["seconds", "seconds_merge", "seconds_render", "seconds_score", "started", "finished"]


def written(toy: Path, folder: Path) -> Path:
    """An experiment of trials of four images, of which each is kept by itself."""
    what = settings(toy)
    what["render"] = what["render"] | {"batch": 1}
    what["merge"][0]["ratio"] = {"low": 0.0, "high": 1.0, "step": 1 / (TRIALS - 1)}
    what["prompt"] = [{"text": text, "seeds": [1, 2]} for text in ("a circle", "a square")]
    file = folder / "kills.toml"
    file.write_text(_toml(what))
    return file


def _toml(tables: dict) -> str:
    """Inline tables all the way down: TOML's are JSON's with other signs."""

    def value(one):
        if isinstance(one, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(item)}" for key, item in one.items()) + "}"
        if isinstance(one, (list, tuple)):
            return "[" + ", ".join(map(value, one)) + "]"
        return json.dumps(str(one) if isinstance(one, Path) else one)

    return "\n".join(f"{key} = {value(one)}" for key, one in tables.items())


def begun(url: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "gridsearch", "run", *map(str, arguments)],
        env=os.environ | {VARIABLE: url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    results = load_results(folder)
    found = (results.trials, results.images, results.references)
    return tuple(table.drop(columns=TIMES, errors="ignore").reset_index(drop=True) for table in found)


def named_files(folder: Path) -> set[str]:
    results = load_results(folder)
    checks = results.checks["file"] if len(results.checks) else []
    return {*results.images["file"], *results.references["file"], *checks}


def files_in(out: Path) -> set[str]:
    folders = [out / kind for kind in ("images", "references", "checks")]
    return {str(path.relative_to(out)) for folder in folders if folder.is_dir() for path in folder.iterdir()}


def workers_of(run: subprocess.Popen) -> list[psutil.Process]:
    family = [one for one in psutil.Process(run.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in family if "worker" in one.cmdline()]


def wait_for(run: subprocess.Popen, out: Path, images: int) -> None:
    while len(files_in(out)) < images or not workers_of(run):
        assert run.poll() is None, run.stdout.read().decode()
        time.sleep(0.02)


@pytest.mark.night
def test_kills_of_workers_and_of_the_run_lose_nothing(toy, tmp_path, database):
    """A moment is so many images and a part of a second: a clock's would not be spread over the run."""
    file = written(toy, tmp_path)
    run_here(load_experiment(file), file, tmp_path / "whole", Budget(), Quiet())

    out, luck = tmp_path / "killed", random.Random(8)
    command = [file, "--out", out, "--workers", 4, "--retries", 1000]
    run = begun(database, *command)
    for number, images in enumerate(sorted(luck.sample(range(1, 4 * TRIALS - LAST), KILLS))):
        wait_for(run, out, images)
        time.sleep(luck.uniform(0, 1))
        if number % 10 != 1:
            luck.choice(workers_of(run)).kill()
        else:
            run.kill()
            run.wait()
            run = begun(database, *command)
    assert run.wait(900) == 0, run.stdout.read().decode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, database)
        for mine, theirs in zip(tables(out), tables(tmp_path / "whole"), strict=True):
            pd.testing.assert_frame_equal(mine, theirs)
        assert len(store.read_study(out).trials) == TRIALS
        kept = files_in(out)
        assert kept == named_files(out)  # no orphan, no half file
    for name in kept:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
