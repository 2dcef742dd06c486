"""Workers that never see the database: Optuna's gRPC proxy in front of it, and images in one place."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gridsearch.results.store.location import VARIABLE
from tests.helpers import program
from tests.helpers.server import free_port
from tests.search.workers.night import assert_same_run, begun, ended
from tests.search.workers.secrets import in_files

# The address in the environment: a command line is everybody's to read.
SERVE = """
import os
from optuna.storages import RDBStorage, run_grpc_proxy_server
url = os.environ["BEHIND"].replace("{", "{{").replace("}", "}}")
run_grpc_proxy_server(RDBStorage(url), host="127.0.0.1", port=int(os.environ["PORT"]))
"""


@contextlib.contextmanager
def proxy(database: str) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {"BEHIND": database, "PORT": str(port)}
    with subprocess.Popen([sys.executable, "-c", SERVE], env=environment) as process:
        yield f"grpc://127.0.0.1:{port}"
        process.kill()


@pytest.mark.night
@pytest.mark.parametrize("kind", ["bucket", "folder"])
def test_workers_behind_a_proxy_draw_what_a_run_on_the_database_leads(
    request, kind, file, whole, database, tmp_path, monkeypatch
):
    """Each in a folder of its own, the run's among them."""
    place = request.getfixturevalue("bucket") if kind == "bucket" else (tmp_path / "shared").as_uri()
    out = tmp_path / "out"
    images = ["--artifacts", place]
    lead = begun("run", file, "--out", out, "--workers", 0, *images, url=database)
    with proxy(database) as address:
        workers = [
            begun("worker", file, "--out", tmp_path / f"worker {n}", "--storage", address, *images)
            for n in (1, 2)
        ]
        ended(lead)
        said = [ended(worker) for worker in workers]
    assert all("Nothing more to render: the run is done" in one for one in said)
    assert all("trial " in one for one in said)  # both have drawn
    monkeypatch.setenv(VARIABLE, database)
    assert_same_run(out, whole)

    third = tmp_path / "third"
    third.mkdir()
    (third / "storage.json").write_bytes((out / "storage.json").read_bytes())
    report = program.gridsearch("report", third)
    assert report.returncode == 0, report.stderr
    assert_same_run(third, whole)
    assert not in_files(tmp_path)
