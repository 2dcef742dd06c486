"""Workers that die, that cannot begin, that were ahead of themselves, and that were only asleep."""

import hashlib
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image

from gridsearch.app.cli.workers import WorkerProcesses
from gridsearch.base.errors import RunFailed
from gridsearch.base.machine import LocalWorkers
from gridsearch.experiment.experiment import load_experiment
from gridsearch.results import store
from gridsearch.results.shared import STORAGE_VARIABLE, queue
from gridsearch.results.store.location import StudyPlace, note_place
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from gridsearch.search.trial import trial
from gridsearch.search.workers.leader import lead_workers
from tests.helpers import program
from tests.helpers.plugin_package import install
from tests.helpers.small_run import Quiet
from tests.search.workers.night import assert_same_run, drawn, wait_for, write_experiment

# A scorer that takes its process with it, at images of the digests that stand beside it.
POISON = """
import hashlib, os, pathlib, signal

def poison(rgb, case):
    digest = hashlib.sha256(rgb.tobytes()).hexdigest()
    if digest in pathlib.Path(__file__).with_name("poison").read_text():
        os.kill(os.getpid(), signal.SIGKILL)
    return 0
"""


@pytest.fixture
def poisoned(toy, tmp_path, monkeypatch):
    """The experiment with a scorer that no worker survives at some images."""
    install(tmp_path, "night_scorers", POISON, {"poison": "poison"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(images: list[Path]) -> Path:
        digests = [hashlib.sha256(np.asarray(Image.open(path)).tobytes()).hexdigest() for path in images]
        (tmp_path / "poison").write_text("\n".join(digests))
        score = {"references": ["base"], "scorer": [{"name": "poison"}]}
        return write_experiment(toy, tmp_path, score=score)

    return write


@pytest.mark.night
def test_a_trial_that_kills_its_worker_twice_fails_and_the_others_are_drawn(poisoned, whole, tmp_path):
    file = poisoned([*(whole / "images").glob("t0002_*")])
    done = program.gridsearch("run", file, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("was killed by signal 9 and is being replaced.") == 2
    trials = store.read_study(tmp_path / "out").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 6
    assert trials[2].user_attrs[store.REASON] == "Its worker died 2 times while drawing it."
    assert trials[2].values is None


@pytest.mark.night
def test_three_trials_in_a_row_that_kill_their_workers_stop_the_run(poisoned, whole, tmp_path):
    file = poisoned([*(whole / "images").iterdir()])
    done = program.gridsearch("run", file, "--out", tmp_path / "out", "--workers", 2, "--retries", 0)
    assert done.returncode == 1
    assert done.stderr.startswith("error: 3 trials in a row failed.\n  why: Its worker died 1 time while")
    states = [trial.state.name for trial in store.read_study(tmp_path / "out").trials]
    assert states.count("FAIL") in (3, 4)  # the second worker may have died meanwhile
    assert set(states) <= {"FAIL", "WAITING", "RUNNING"}  # what it held when the run stopped


def test_a_worker_that_cannot_begin_is_given_up_and_the_run_stops_with_its_words(file, tmp_path):
    """As on a machine that lacks a model."""
    there = tmp_path / "there.toml"
    there.write_text(file.read_text().replace("burnt.safetensors", "gone.safetensors"))
    notes = []
    with pytest.raises(RunFailed) as stopped:
        led(
            file,
            tmp_path / "out",
            WorkerProcesses(LocalWorkers(1, ()), there, tmp_path / "out", notes.append),
        )
    assert "gone.safetensors" in str(stopped.value.where)
    assert stopped.value.what in notes[-1]
    assert notes[-1].startswith("Worker 1 will not be restarted: error: ")


@pytest.mark.night
def test_a_worker_that_was_asleep_for_too_long_doubles_nothing(file, whole, database, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setenv(STORAGE_VARIABLE, database)
    out.mkdir()
    note_place(out, StudyPlace(database, "small"))
    crew = WorkerProcesses(LocalWorkers(2, ()), file, out, Quiet().note)
    with ThreadPoolExecutor(1) as thread:
        slept = thread.submit(asleep, crew, out)
        led(file, out, crew, pace=0.5)
        trial, sleeper = slept.result()
    assert_same_run(out, whole)
    assert queue.lease_of(store.read_study(out).trials[trial]).worker != sleeper
    assert "was given to another worker" in (out / "logs" / "worker-1.log").read_text()


def led(file: Path, out: Path, crew: WorkerProcesses, pace: float = queue.USUAL_PACE) -> None:
    lead_workers(load_experiment(file), file, out, Budget(), Quiet(), crew, retries=1000, pace=pace)


def asleep(crew: WorkerProcesses, out: Path) -> tuple[int, str]:
    """The first worker is stopped while it draws a trial, until another has that; the trial, and its name."""
    wait_for(lambda: drawn(out) >= 1)
    hand, held = crew.hands[0], []

    def caught() -> bool:
        if not drawn_by(study, hand.name):
            return False  # stopped at each look it would hardly get to draw
        hand.process.send_signal(signal.SIGSTOP)
        held[:] = drawn_by(study, hand.name)
        if not held:
            hand.process.send_signal(signal.SIGCONT)
        return bool(held)

    with store.open_study(out) as study:  # once: to open it takes as long as a trial
        try:
            wait_for(caught, within=120)
            wait_for(lambda: taken_from(study, held[0], hand.name))
        finally:
            hand.process.send_signal(signal.SIGCONT)
    return held[0], hand.name


def taken_from(study: optuna.Study, number: int, worker: str) -> bool:
    """Whether another worker draws the trial, or has drawn it meanwhile."""
    lease = queue.lease_of(study.get_trials(deepcopy=False)[number])
    return lease is not None and lease.worker != worker


def drawn_by(study: optuna.Study, worker: str) -> list[int]:
    """The trials that a worker draws now."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    leases = {trial.number: queue.lease_of(trial) for trial in running}
    return [number for number, lease in leases.items() if lease and lease.worker == worker]


@pytest.mark.night
def test_a_kill_between_the_next_merge_and_what_is_written_loses_nothing(file, whole, tmp_path, monkeypatch):
    ahead, merge_next = [], trial._merge_next

    def killed(setup, following, weights):
        merge_next(setup, following, weights)
        ahead.append(following())
        if len(ahead) in (2, 5):
            raise KeyboardInterrupt

    monkeypatch.setattr(trial, "_merge_next", killed)
    for ends in (pytest.raises(KeyboardInterrupt), pytest.raises(KeyboardInterrupt), nullcontext()):
        with ends:
            run_experiment(load_experiment(file), file, tmp_path / "out", Budget(), Quiet())
    assert len([one for one in ahead if one]) > 5
    assert_same_run(tmp_path / "out", whole)
