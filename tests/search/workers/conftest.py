"""What the tests of workers share: an experiment, and what comes of it where nothing goes wrong."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsearch.experiment.experiment import load_experiment
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.store import artifacts
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from tests.helpers.small_run import Quiet
from tests.search.workers.night import write_experiment
from tests.search.workers.secrets import HUSH

SIZE = 64  # megabytes of a small disk: what a run keeps free, its report, and room to fill


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch) -> None:
    """The program leaves the address of its storage to those that it starts."""
    monkeypatch.setenv(STORAGE_VARIABLE, "")


@pytest.fixture(scope="session")
def file(toy, tmp_path_factory) -> Path:
    return write_experiment(toy, tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="session")
def whole(file, tmp_path_factory) -> Path:
    """The folder of an unbroken run in one process."""
    out = tmp_path_factory.mktemp("whole") / "night"
    run_experiment(load_experiment(file), file, out, Budget(), Quiet())
    return out


@pytest.fixture
def bucket(s3, monkeypatch) -> Iterator[str]:
    import boto3

    keys = {"ACCESS_KEY_ID": "AKIAEXAMPLE", "SECRET_ACCESS_KEY": HUSH, "DEFAULT_REGION": "us-east-1"}
    for key, value in (keys | {"ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(f"AWS_{key}", value)
    monkeypatch.setattr(artifacts, "TRIES", 1)
    made = boto3.resource("s3").Bucket("night")
    made.create()
    yield "s3://night/images"
    made.objects.all().delete()
    made.delete()


@pytest.fixture
def small() -> Iterator[Path]:
    """A small disk of its own, where every account finds it."""
    place = Path(tempfile.mkdtemp(prefix="gridsearch-small-"))
    place.chmod(0o755)
    made = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", place]
    if not shutil.which("mount") or subprocess.run(made, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("no small disk can be mounted here: it takes root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()
