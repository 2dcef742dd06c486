"""Workers and the run that leads them, killed at random moments: nothing is lost, doubled, or half there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from gridsearch import store
from gridsearch.report.tables import load_results
from gridsearch.store.place import VARIABLE
from tests.test_run import settings

EVERY = (2.0, 5.0)  # seconds between two kills: a worker takes some to begin again
TIMES = ["seconds", "seconds_merge", "seconds_render", "seconds_score", "started", "finished"]


def written(toy: Path, folder: Path, step: float) -> Path:
    """An experiment of trials of four images, of which each is kept by itself."""
    what = settings(toy)
    what["render"] = what["render"] | {"batch": 1}
    what["merge"][0]["ratio"] = {"low": 0.0, "high": 1.0, "step": step}
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


def begun(file: Path, out: Path, url: str | None, *more: str) -> subprocess.Popen:
    environment = os.environ | ({VARIABLE: url} if url else {})
    command = [sys.executable, "-m", "gridsearch", "run", file, "--out", out, *more]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    results = load_results(folder)
    found = (results.trials, results.images, results.references)
    return tuple(table.drop(columns=TIMES, errors="ignore").reset_index(drop=True) for table in found)


def named_files(folder: Path) -> set[str]:
    results = load_results(folder)
    checks = results.checks["file"] if len(results.checks) else []
    return {*results.images["file"], *results.references["file"], *checks}


@pytest.mark.long
@pytest.mark.parametrize(("wanted", "step"), [(3, 0.1), pytest.param(50, 0.01, marks=pytest.mark.night)])
def test_kills_of_workers_and_of_the_run_lose_nothing(toy, tmp_path, database, wanted, step):
    file = written(toy, tmp_path, step)
    whole = begun(file, tmp_path / "whole", None)
    assert whole.wait(600) == 0, whole.stdout.read()

    out, luck, kills = tmp_path / "killed", random.Random(8), 0
    run = begun(file, out, database, "--workers", "4", "--retries", "1000")
    while True:
        try:
            assert run.wait(luck.uniform(*EVERY)) == 0, run.stdout.read().decode()
            break
        except subprocess.TimeoutExpired:
            pass
        if kills == wanted:
            continue
        family = [one for one in psutil.Process(run.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        workers = [one for one in family if "worker" in one.cmdline()]
        if not workers:  # it has only begun itself
            continue
        victim = luck.choice(workers) if luck.random() < 0.9 else psutil.Process(run.pid)
        victim.send_signal(signal.SIGKILL)
        kills += 1
        if victim.pid == run.pid:
            run.wait()
            time.sleep(0.5)
            run = begun(file, out, database, "--workers", "4", "--retries", "1000")
    assert kills == wanted, f"the run was over after {kills} kills"

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, database)
        for mine, theirs in zip(tables(out), tables(tmp_path / "whole"), strict=True):
            pd.testing.assert_frame_equal(mine, theirs)
        stored = store.read_study(out)
        assert len(stored.trials) == round(1 / step) + 1
        kept = {
            str(path.relative_to(out))
            for kind in ("images", "references", "checks")
            for path in (out / kind).iterdir()
        }
        assert kept == named_files(out)  # no orphan, no half file
    for name in kept:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
