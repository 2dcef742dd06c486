"""Workers and the run that leads them, killed at random moments: nothing is lost, doubled, or half there."""

import contextlib
import os
import random
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from gridsearch.experiment.experiment import load_experiment
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from tests.helpers.small_run import Quiet
from tests.search.workers.night import assert_same_run, begun, drawn, ended, write_experiment

KILLS = int(os.environ.get("GRIDSEARCH_KILLS", 15))  # on each kind of database
TRIALS, IMAGES = max(61, 2 * KILLS + 1), 4  # so many of each
LAST = 16  # images that the run still has to draw at the last kill, lest it be over before


@pytest.mark.night
@pytest.mark.long
@pytest.mark.parametrize("place", ["PostgreSQL", "SQLite"])
def test_kills_of_workers_and_of_the_run_lose_nothing(toy, tmp_path, place, request, monkeypatch):
    """A moment is so many images and a part of a second: a clock's would not be spread over the run."""
    prompts = [{"text": text, "seeds": [1, 2]} for text in ("a circle", "a square")]
    file = write_experiment(toy, tmp_path, step=1 / (TRIALS - 1), prompt=prompts)
    whole, out, luck = tmp_path / "whole", tmp_path / "out", random.Random(8)
    run_experiment(load_experiment(file), file, whole, Budget(), Quiet())

    if place == "PostgreSQL":
        monkeypatch.setenv(STORAGE_VARIABLE, request.getfixturevalue("database"))
    command = ["run", file, "--out", out, "--workers", 4, "--retries", 1000]
    run = begun(*command)
    for number, images in enumerate(sorted(luck.sample(range(IMAGES * TRIALS - LAST), KILLS))):
        wait(run, out, images)
        time.sleep(luck.uniform(0, 1))
        if number % 10 != 1:
            kill_one(run, luck)
        else:
            run.kill()
            run.communicate()
            run = begun(*command)
    ended(run)
    assert_same_run(out, whole)


def wait(run: subprocess.Popen, out: Path, images: int) -> None:
    """Until so many images of trials are there, and a worker that could be killed."""
    while drawn(out) < images or not workers_of(run):
        assert run.poll() is None, run.stdout.read()
        time.sleep(0.02)


def kill_one(run: subprocess.Popen, luck: random.Random) -> None:
    while not (workers := workers_of(run)):
        assert run.poll() is None, run.stdout.read()
        time.sleep(0.02)
    with contextlib.suppress(psutil.NoSuchProcess):  # ended on its own just now
        luck.choice(workers).kill()


def workers_of(run: subprocess.Popen) -> list[psutil.Process]:
    return [one for one in psutil.Process(run.pid).children() if "worker" in command_of(one)]


def command_of(process: psutil.Process) -> list[str]:
    """Its words; none once it has ended, which it may do between two questions."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie is one too
        return []
