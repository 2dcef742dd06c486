"""A full-size SDXL file on a machine that has nothing but this package and no network."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.random_sdxl import file_entries, metadata_of
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.export.export import safetensors_head

EXPERIMENT = """
name = "fresh"
[models]
a = "epsilon.safetensors"
b = "v_prediction.safetensors"
[[merge]]
models = ["a", "b"]
ratio = { low = 0.0, high = 1.0, step = 0.01 }
[render]
prediction_type = "v_prediction"
[[prompt]]
text = "a lighthouse"
seeds = [1, 2]
"""

# The command line, where a look at the network is an error; at the end it says which packages it has loaded.
PLAN = """
import socket, sys
def refused(*_): raise AssertionError("asked the network")
socket.socket.connect = socket.getaddrinfo = refused
sys.argv = ["gridsearch", "plan", "fresh.toml"]
from gridsearch.app.cli import main
try:
    main()
except SystemExit as end:
    if end.code:
        raise
slow = ("diffusers", "transformers", "pandas", "scipy.stats")
print("loaded:", *(name for name in slow if name in sys.modules))
"""


@pytest.fixture
def folder(tmp_path):
    """An experiment with two SDXL files whose weights are holes: 7 GB each, of which nothing is written."""
    (tmp_path / "fresh.toml").write_text(EXPERIMENT)
    for mode in ("epsilon", "v_prediction"):
        entries = file_entries(SDXL.configs, mode)
        head = safetensors_head(entries, metadata_of(mode))
        with (tmp_path / f"{mode}.safetensors").open("wb") as file:
            file.write(head)
            file.truncate(len(head) + sum(entry.bytes for entry in entries.values()))
    return tmp_path


def test_a_plan_needs_no_network_and_writes_nothing(folder, capsys):
    home = folder / "home"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    before = sorted(folder.iterdir())
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PLAN], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    with capsys.disabled():
        print(f"\nplan of two full-size files: {time.perf_counter() - began:.1f} s")
    assert done.returncode == 0, done.stderr
    assert "images" in done.stdout
    assert "hub" not in (done.stdout + done.stderr).lower().replace("github", "")
    assert done.stdout.splitlines()[-1] == "loaded:"  # what takes seconds to import is not needed
    assert sorted(folder.iterdir()) == before
    assert not list(home.iterdir())
