"""Small real runs for the tests of what a night brings: an experiment's file, the program, what it left."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from gridsearch.results.results import load_results
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.store import read_study
from gridsearch.results.store.artifacts import rows_with_pictures
from tests.helpers.postgres import Postgres
from tests.helpers.small_run import settings

TIMES = ["seconds", "seconds_merge", "seconds_render", "seconds_score", "started", "finished"]


def write_experiment(toy: Path, folder: Path, step: float = 0.125, **changes) -> Path:
    """Of trials of two images, each kept by itself, and enough of them for a fault in the middle."""
    what = settings(
        toy,
        merge=[{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0, "step": step}}],
        prompt=[{"text": "a circle", "seeds": [1, 2]}],
        search={"sampler": "grid"},
    )
    what["render"] |= {"batch": 1}
    file = folder / "night.toml"
    file.write_text("\n".join(f"{key} = {_toml(one)}" for key, one in (what | changes).items()))
    return file


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def begun(*arguments: object, url: str | None = None, **environment: str) -> subprocess.Popen:
    """The program in a process of its own; what it says comes through one pipe."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gridsearch", *map(str, arguments)],
        env=os.environ | ({STORAGE_VARIABLE: url} if url else {}) | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen, within: float = 900) -> str:
    """What a program said that ended well."""
    said, _ = process.communicate(timeout=within)
    assert process.returncode == 0, said
    return said


def wait_for(what: Callable[[], bool], within: float = 600) -> None:
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def drawn(out: Path) -> int:
    """How many images of trials are there."""
    return len([*(out / "images").glob("t*.*")])


def fill(filler: Path, left: int) -> None:
    """Take all space of a disk but so many bytes."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(filler.parent).free) > left or not left:
            file.write(bytes(min(2**20, max(free - left, 4096))))


def assert_same_run(out: Path, whole: Path) -> None:
    """Tables equal but for times, every image the same to the byte, and no other file among them."""
    mine, theirs = load_results(out), load_results(whole)
    for table in ("trials", "images", "checks", "references"):
        pd.testing.assert_frame_equal(_timeless(getattr(mine, table)), _timeless(getattr(theirs, table)))
    assert [trial.number for trial in read_study(out).trials] == [t.number for t in read_study(whole).trials]
    named = {row["file"] for row in rows_with_pictures(read_study(out))}
    assert named == {row["file"] for row in rows_with_pictures(read_study(whole))}
    there = {
        path.relative_to(out).as_posix()
        for kind in ("images", "references", "checks")
        for path in (out / kind).glob("*")
    }
    assert there == named
    for name in named:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


def _timeless(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=TIMES, errors="ignore").reset_index(drop=True)


@contextlib.contextmanager
def away(server: Postgres, out: Path, seconds: float) -> Iterator[None]:
    """The server is stopped in the middle of a run, for so long."""

    def go() -> None:
        wait_for(lambda: drawn(out) >= 4)
        server.stop()
        time.sleep(seconds)
        server.start()

    with ThreadPoolExecutor(1) as thread:
        gone = thread.submit(go)
        yield
        gone.result()
