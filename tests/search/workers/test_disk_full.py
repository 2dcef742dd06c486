"""A disk that fills in the middle of a run: it stops with a sentence, and goes on once there is room."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridsearch.results.store import images_of, read_study
from tests.helpers import program
from tests.search.workers.night import assert_same_run, drawn, fill, wait_for


@pytest.mark.night
@pytest.mark.parametrize("left", [4_000_000, 0], ids=["nearly", "quite"])
@pytest.mark.parametrize("workers", [[], ["--workers", 2]], ids=["here", "workers"])
def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(file, whole, small, workers, left):
    out, filler = small / "out", small / "filler"
    command = ["run", file, "--out", out, *workers]
    with filled(out, filler, left):
        done = program.gridsearch(*command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The disk is full.\n  where: "), done.stderr
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == [
        "error",
        "where",
        "why",
        "fix",
    ]
    assert not [*out.rglob("*.part")]
    done = program.gridsearch(*command)  # again, while it is still full
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: The disk is "), done.stderr
    there = {path.relative_to(out).as_posix() for path in (out / "images").iterdir()}

    filler.unlink()
    stored = read_study(out)
    assert {row["file"] for trial in stored.trials for row in images_of(trial)} <= there
    done = program.gridsearch(*command)
    assert done.returncode == 0, done.stderr
    assert_same_run(out, whole)


@contextlib.contextmanager
def filled(out: Path, filler: Path, left: int) -> Iterator[None]:
    """In the middle of the run all space but so many bytes is taken."""

    def take() -> None:
        wait_for(lambda: drawn(out) >= 4)
        fill(filler, left)

    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(take)
        yield
        taken.result()
