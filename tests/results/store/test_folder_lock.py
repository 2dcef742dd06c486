"""Who works in a folder: one at a time, on this machine and on others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gridsearch.base.errors import Busy
from gridsearch.results import store
from gridsearch.results.store import folder_lock

# A process that has the folder until its input ends; on another machine where a name for that is given.
# It loads the one module, without Optuna, which takes a second.
HOLD = """
import importlib.util, socket, sys
from pathlib import Path
module = importlib.util.spec_from_file_location("folder_lock", sys.argv[3])
folder_lock = sys.modules["folder_lock"] = importlib.util.module_from_spec(module)
module.loader.exec_module(folder_lock)
folder, host, folder_lock.LEASE, folder_lock.BEAT = Path(sys.argv[1]), sys.argv[2], 1.0, 0.2
if host:
    socket.gethostname = lambda: host
with folder_lock.locked(folder) as held:
    print("held", flush=True)
    sys.stdin.read()
    print(held())
"""


@contextmanager
def held_elsewhere(folder: Path, host: str = "") -> Iterator[subprocess.Popen]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, host, folder_lock.__file__], stdin=pipe, stdout=pipe, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(folder_lock, "LEASE", 1.0)
    monkeypatch.setattr(folder_lock, "BEAT", 0.2)


def test_who_comes_second_is_told_who_has_the_folder_and_since_when(tmp_path):
    with held_elsewhere(tmp_path) as other:
        begun = time.monotonic()
        with (
            pytest.raises(Busy, match=rf"(?s)Another run.*Process {other.pid} on .*, since 20"),
            store.locked(tmp_path),
        ):
            pass
        assert time.monotonic() - begun < 0.5
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        begun = time.monotonic()
        with store.locked(tmp_path) as held:
            assert time.monotonic() - begun < 0.5
            assert held()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_process_of_this_machine_keeps_its_folder(tmp_path):
    with held_elsewhere(tmp_path) as other:
        os.kill(other.pid, signal.SIGSTOP)
        time.sleep(1.5)  # more than its lease
        with pytest.raises(Busy), store.locked(tmp_path):
            pass


@pytest.mark.night
def test_another_machine_s_run_keeps_its_folder_while_it_lives_and_loses_it_after_its_lease(tmp_path):
    with held_elsewhere(tmp_path, "elsewhere") as other:
        time.sleep(1.5)
        with pytest.raises(Busy, match="on elsewhere"), store.locked(tmp_path):
            pass
        other.kill()
        other.wait()
        time.sleep(0.5)
        told, begun = [], time.monotonic()
        with folder_lock.locked(tmp_path, on_wait=told.append):
            assert 0.5 < time.monotonic() - begun < 2.5
        assert "silent" in told[0]


@pytest.mark.night
def test_a_machine_that_was_silent_for_its_lease_learns_that_its_folder_was_taken(tmp_path):
    with held_elsewhere(tmp_path, "elsewhere") as other:
        os.kill(other.pid, signal.SIGSTOP)
        time.sleep(0.5)
        with store.locked(tmp_path) as held:
            os.kill(other.pid, signal.SIGCONT)
            time.sleep(1.0)
            assert other.communicate("")[0] == "False\n"
            assert held()
            assert (tmp_path / folder_lock.HOLDER_FILE).exists()


def test_a_lock_whose_text_a_power_cut_took_is_free_after_a_lease(tmp_path):
    (tmp_path / folder_lock.LOCK_FILE).touch()
    with store.locked(tmp_path) as held:
        assert held()
