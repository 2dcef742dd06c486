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

# A process that has the folder until its input ends; on another machine where a name for that is given,
# whose clock is three hours ahead.
# It loads the one module, without Optuna, which takes a second.
HOLD = """
import importlib.util, socket, sys, time
from pathlib import Path
module = importlib.util.spec_from_file_location("folder_lock", sys.argv[3])
folder_lock = sys.modules["folder_lock"] = importlib.util.module_from_spec(module)
module.loader.exec_module(folder_lock)
folder, host = Path(sys.argv[1]), sys.argv[2]
folder_lock.LEASE, folder_lock.BEAT = map(float, sys.argv[4:])
if host:
    real = time.time
    time.time = lambda: real() + 3 * 3600  # its clock is wrong
    socket.gethostname = lambda: host
with folder_lock.locked(folder) as held:
    print("held", flush=True)
    sys.stdin.read()
    until = time.monotonic() + 120
    while held() and time.monotonic() < until:
        time.sleep(0.05)
    print(held())
"""


@contextmanager
def held_elsewhere(folder: Path, host: str = "") -> Iterator[subprocess.Popen]:
    pipe = subprocess.PIPE
    given = folder, host, folder_lock.__file__, str(folder_lock.LEASE), str(folder_lock.BEAT)
    process = subprocess.Popen([sys.executable, "-c", HOLD, *given], stdin=pipe, stdout=pipe, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


@pytest.fixture
def lease(request, monkeypatch) -> float:
    """Seconds, with ten beats."""
    monkeypatch.setattr(folder_lock, "LEASE", request.param)
    monkeypatch.setattr(folder_lock, "BEAT", request.param / 10)
    return request.param


@pytest.mark.parametrize("lease", [600.0], indirect=True)
def test_who_comes_second_is_told_who_has_the_folder_and_since_when(lease, tmp_path):
    waits = []
    with held_elsewhere(tmp_path) as other:
        with (
            pytest.raises(Busy, match=rf"(?s)Another run.*Process {other.pid} on .*, since 20"),
            folder_lock.locked(tmp_path, waits.append),
        ):
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        with folder_lock.locked(tmp_path, waits.append) as held:
            assert held()
    assert waits == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lease", [1.0], indirect=True)
def test_a_stopped_process_of_this_machine_keeps_its_folder(lease, tmp_path):
    with held_elsewhere(tmp_path) as other:
        os.kill(other.pid, signal.SIGSTOP)
        time.sleep(1.5 * lease)
        with pytest.raises(Busy), store.locked(tmp_path):
            pass


@pytest.mark.night
@pytest.mark.parametrize("lease", [5.0], indirect=True)
def test_another_machine_s_run_keeps_its_folder_while_it_lives_and_loses_it_after_its_lease(lease, tmp_path):
    with held_elsewhere(tmp_path, "elsewhere") as other:
        time.sleep(1.2 * lease)
        with pytest.raises(Busy, match="on elsewhere"), store.locked(tmp_path):
            pass
        other.kill()
        other.wait()
        time.sleep(0.3 * lease)
        told, begun = [], time.monotonic()
        with folder_lock.locked(tmp_path, on_wait=told.append):
            assert time.monotonic() - begun > 0.9 * lease
        assert "silent" in told[0]


@pytest.mark.night
@pytest.mark.parametrize("lease", [5.0], indirect=True)
def test_a_machine_that_was_silent_for_its_lease_learns_that_its_folder_was_taken(lease, tmp_path):
    with held_elsewhere(tmp_path, "elsewhere") as other:
        os.kill(other.pid, signal.SIGSTOP)
        time.sleep(0.3 * lease)
        with store.locked(tmp_path) as held:
            os.kill(other.pid, signal.SIGCONT)
            assert other.communicate("")[0] == "False\n"
            assert held()
            assert (tmp_path / folder_lock.HOLDER_FILE).exists()


@pytest.mark.parametrize("lease", [1.0], indirect=True)
def test_a_lock_whose_text_a_power_cut_took_is_free_after_a_lease(lease, tmp_path):
    (tmp_path / folder_lock.LOCK_FILE).touch()
    with store.locked(tmp_path) as held:
        assert held()
