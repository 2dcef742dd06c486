"""A run that is watched: its state in the folder, a word where it makes no progress, a command at its end."""

import json
import os
import socket
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gridsearch.app import watch
from gridsearch.app.run_state import (
    SILENT,
    STATE_FILE,
    is_alive,
    read_state,
    state_lines,
    worker_text,
    write_state,
)
from gridsearch.app.watch import LONG, Watched, notify
from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.search.listener import WorkerState
from tests.helpers.program import gridsearch
from tests.helpers.schemas import read, require_valid
from tests.helpers.small_run import Noting


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def watched(tmp_path, clock, monkeypatch):
    """A run of ten trials that has begun; the test itself looks, in the place of the thread."""
    monkeypatch.setattr(Watched, "_keep", lambda _self: None)
    stalls = []
    made = Watched(tmp_path, "night", Noting(), stalls.append, lambda: clock.now)
    made.stalls = stalls
    made.start(8, 2, 4, 0, False)
    return made


def test_the_state_says_how_far_the_run_is(watched, tmp_path, clock):
    watched.drawing("trial", 3, {"ratio": 0.5}, 1, 4)
    for _ in range(3):
        clock.now += 20
        watched.image(None, None)
    watched.trial(SimpleNamespace(number=3))
    clock.now += 5
    watched.look()
    state, age = read_state(tmp_path)
    assert (state.trials_done, state.trials_left, state.images) == (3, 7, 3)
    assert state.per_minute == pytest.approx(60 * 3 / 65)
    assert (state.progress, state.doing) == (5, "trial 3, from 1 of 4 images on")
    assert is_alive(state, age)
    assert state_lines(state, 2.0)[0].startswith(f"running: process {os.getpid()} on {socket.gethostname()}")


def test_a_run_that_makes_no_progress_says_so_once_and_why(watched, clock):
    watched.step(3, 20)
    clock.now += LONG - 1
    watched.look()
    assert watched._listener.notes == []
    clock.now += 2
    watched.look()
    watched.look()
    (note,) = watched._listener.notes
    assert note == "No progress for 10 min: last heard was step 3 of 20 of a batch."
    assert watched.stalls == [note]
    watched.note("The database does not answer; trying again for up to 10 min.")
    watched.step(4, 20)  # it goes on; a halt is told again once it is longer than those before
    clock.now += 10 * LONG
    watched.look()
    assert len(watched.stalls) == 1
    clock.now += 20
    watched.look()
    assert len(watched.stalls) == 2


def test_silent_workers_and_none_at_all_are_named_as_the_reason(watched, clock):
    watched.drawing_many("trial", [], 0, 0)
    clock.now += LONG + 1
    watched.look()
    assert "no worker has taken a trial" in watched.stalls[0]
    watched.image(None, None)
    watched.drawing_many("trial", [{}], 1, 4)
    watched.workers([WorkerState("b 7", 4, 1, 6300.0)])
    clock.now += 11 * LONG
    watched.look()
    assert "of 1 workers none has been heard from" in watched.stalls[1]
    assert worker_text({"name": "b 7", "trial": 4, "images": 1, "silent": 3.0}, 2.0).endswith("5 s ago")


@pytest.mark.parametrize(
    ("error", "ended", "message"),
    [
        (None, "done", None),
        (KeyboardInterrupt(), "stopped", None),
        (RunFailed("No luck."), "failed", "No luck."),
    ],
    ids=["done", "stopped", "failed"],
)
def test_how_it_ended_stays(watched, tmp_path, error, ended, message):
    watched.__exit__(error and type(error), error, None)
    state, _ = read_state(tmp_path)
    assert (state.ended, state.message) == (ended, message)
    watched._write(None, "a thread that was late")
    assert read_state(tmp_path)[0].ended == ended
    assert gridsearch("status", tmp_path).returncode == (ended == "failed")


def test_a_run_that_never_had_the_folder_writes_nothing_into_it(tmp_path):
    with Watched(tmp_path, "night", Noting()):
        pass
    assert not [*tmp_path.iterdir()]
    assert gridsearch("status", tmp_path).returncode == 2


def test_the_dead_are_told_from_the_living_by_the_age_of_the_file(watched, tmp_path):
    watched.look()
    state, _ = read_state(tmp_path)
    assert not is_alive(state, SILENT + 1)
    assert not is_alive(replace(state, pid=2**22 + 1), 1.0)  # no process here has that number
    elsewhere = replace(state, host="another", pid=2**22 + 1)
    assert is_alive(elsewhere, 1.0)
    write_state(tmp_path, elsewhere)
    old = (tmp_path / STATE_FILE).stat().st_mtime - 2 * SILENT
    os.utime(tmp_path / STATE_FILE, (old, old))
    done = gridsearch("status", tmp_path, "--json")
    assert done.returncode == 1
    document = require_valid(read(done.stdout), "status")
    assert (document["alive"], document["host"]) == (False, "another")
    assert document["heard"] >= 2 * SILENT


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"name": 1}'])
def test_a_damaged_state_is_refused(watched, tmp_path, damage):
    watched.look()
    (tmp_path / STATE_FILE).write_text(damage)
    with pytest.raises(BadInput, match="state of the run"):
        read_state(tmp_path)
    whole = json.dumps({"workers": [{"name": 3}]})
    (tmp_path / STATE_FILE).write_text(whole)
    with pytest.raises(BadInput, match="damaged"):
        read_state(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="written for a POSIX shell")
def test_the_command_gets_the_facts_and_no_shell_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv(STORAGE_VARIABLE, "postgresql+psycopg://me:secret@host/db")
    monkeypatch.chdir(tmp_path)
    evil = "x'; touch evil; $(touch evil) `touch evil` \n touch evil #"
    notes = []
    dump = f'{sys.executable} -c \'import json, os; json.dump(dict(os.environ), open("told", "w"))\''
    notify(
        f'{dump}; test -n "$GRIDSEARCH_NAME" && echo $GRIDSEARCH_NAME', "done", {"name": evil}, notes.append
    )
    told = json.loads((tmp_path / "told").read_text())
    assert (told["GRIDSEARCH_EVENT"], told["GRIDSEARCH_NAME"]) == ("done", evil)
    assert STORAGE_VARIABLE not in told
    assert {path.name for path in tmp_path.iterdir()} == {"told"}
    assert notes == []


@pytest.mark.skipif(os.name == "nt", reason="written for a POSIX shell")
def test_a_command_that_fails_or_hangs_is_noted(monkeypatch):
    notes = []
    notify("echo no such host >&2; exit 3", "failed", {}, notes.append)
    assert notes == ["The command of --notify failed: it ended with code 3 no such host"]
    monkeypatch.setattr(watch, "NOTIFY_SECONDS", 0.05)
    notify("exec sleep 5", "failed", {}, notes.append)
    assert "timed out" in notes[1]
