"""A disk that fills in the middle of a run: it stops with a sentence, and goes on once there is room."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridsearch.results.store import images_of, read_study
from tests.helpers import program
from tests.search.workers.night import assert_same_run, drawn, wait_for

SIZE = 64  # megabytes: what a run keeps free, its report, and room to fill


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "small"
    place.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", place]
    if not shutil.which("mount") or subprocess.run(made, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: it takes root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


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

    def fill() -> None:
        wait_for(lambda: drawn(out) >= 4)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (free := shutil.disk_usage(out).free) > left or not left:
                file.write(bytes(min(2**20, max(free - left, 4096))))

    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(fill)
        yield
        taken.result()
