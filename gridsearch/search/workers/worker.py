"""One worker: it takes what waits in the queue of a study that a run leads, draws it, and takes the next."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from gridsearch.base.errors import BadInput, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.store.artifacts import Artifacts, open_artifacts
from gridsearch.search.checks import REPEAT, draw_check, orders
from gridsearch.search.evaluate import Easel, easel, evaluation, forget
from gridsearch.search.listener import Listener
from gridsearch.search.loop import draw_trial, racing_of
from gridsearch.search.prepare import prepare
from gridsearch.search.racing.rungs import Evaluate, OnRung
from gridsearch.search.run import loaded
from gridsearch.search.trial.failures import named
from gridsearch.search.trial.fingerprints import parent_fingerprint
from gridsearch.search.trial.setup import draw_parent, with_references
from gridsearch.search.workers.references import CASES, FINGERPRINT, MODEL

SOONEST = 0.1  # seconds to the second look at an empty queue
EARLY = 1.0  # seconds between two looks for a study that is not begun
PATIENCE = 600.0  # seconds without a run that leads, after which a worker gives up


# What comes of a trial that is another's: Optuna says that it has ended, or, as a ValueError, that it waits.
NOT_OURS = (queue.Lost, UpdateFinishedTrialError, ValueError)


@dataclass(frozen=True)
class Worker:
    """A worker with everything it draws with.

    Attributes:
        name: unlike any other worker's.
        artifacts: where images go besides the folder; None where they do not.
    """

    name: str
    study: optuna.Study
    facts: store.Facts
    on: Easel
    artifacts: Artifacts | None


def work(
    experiment: Experiment,
    file: Path,
    out: Path,
    name: str,
    listener: Listener,
    patience: float = PATIENCE,
) -> str:
    """Draw what a run asks for until it is done; why there is nothing more to do.

    Args:
        patience: seconds to wait for a run that leads.

    Raises:
        BadInput: the experiment, or a model here, is not the run's.
        RunFailed: no run leads the study, or something is wrong on this machine.
    """
    _wait_for_study(out, patience)
    prepared = prepare(experiment, file, out, listener, store.read_study(out))
    setup = loaded(prepared, out, listener)
    with named(out), store.open_study(out, shared=True, on_wait=listener.note) as study:
        facts = store.load_facts(study)
        if facts.order != prepared.facts.order:
            raise BadInput("The experiment has other prompts than the run.", where=file)
        address = store.place_of(out).artifacts
        artifacts = open_artifacts(address) if address else None
        worker = Worker(name, study, facts, easel(setup, listener, prepared.files), artifacts)
        return _work(worker, patience)


def _wait_for_study(out: Path, patience: float) -> None:
    began = time.monotonic()
    while not store.has_study(out):
        if time.monotonic() - began > patience:
            raise RunFailed("No run has begun this study.", where=out, fix=BEGIN)
        time.sleep(EARLY)


BEGIN = "Begin it: gridsearch run EXPERIMENT.toml with the same --storage."


def _work(worker: Worker, patience: float) -> str:
    study = worker.study
    pieces, checks = store.references_of(study), store.checks_of(study)
    jobs = {pieces.study_name: (pieces, _piece), checks.study_name: (checks, _check)}
    jobs[study.study_name] = (study, _trial)
    silence, pause = _Silence(patience), SOONEST
    while True:
        said = queue.orders(study)
        queued, draw = jobs.get(said.source, (None, None))
        below = said.below if queued is study else None
        if queued is not None and (trial := queue.take(queued, worker.name, below)):
            worker = _drawn(worker, queued, trial, draw, said.pace)
            pause = SOONEST
            continue
        if said.over:
            return said.over
        silence.require_lead(said.beat)
        time.sleep(pause)
        pause = min(said.pause, 1.5 * pause)


@dataclass
class _Silence:
    """How long nobody has been heard of who leads the study."""

    patience: float
    beat: int | None = None
    since: float = 0.0

    def require_lead(self, beat: int | None) -> None:
        now = time.monotonic()
        if not self.since or beat != self.beat:
            self.beat, self.since = beat, now
        if now - self.since > self.patience:
            raise RunFailed(f"No run has led this study for {self.patience / 60:.0f} minutes.", fix=BEGIN)


def _drawn(worker: Worker, queued: optuna.Study, trial: optuna.Trial, draw: Callable, pace: float) -> Worker:
    """Draw a trial that is this worker's. However that ends early, it goes back to the queue, unless lost."""
    try:
        with queue.beating(queued, trial, worker.name, pace):
            return draw(worker, queued, trial)
    except BaseException as error:
        held = not isinstance(error, queue.Lost)
        with contextlib.suppress(RunFailed):  # who leads finds it in any case
            held = held and queue.holds(queued, trial, worker.name)
            if held:
                queue.put_back(queued, trial._trial_id)
        if held or not isinstance(error, NOT_OURS):
            raise
    silent = "this one was not heard of for too long"
    worker.on.listener.note(f"Trial {trial.number} is another worker's now: {silent}.")
    return worker


def _piece(worker: Worker, pieces: optuna.Study, trial: optuna.Trial) -> Worker:
    try:
        with queue.own_failures(pieces, trial, worker.name), named(worker.on.setup.out):
            _draw_piece(worker, pieces, trial)
    except MustStop:
        raise
    except RunFailed as error:
        store.fail(pieces, trial, error.lines[0], error.kind)
    return worker


def _draw_piece(worker: Worker, pieces: optuna.Study, trial: optuna.Trial) -> None:
    said, setup = trial.user_attrs, worker.on.setup
    if CASES in said:
        cases = [case for case in setup.cases if case.id in said[CASES]]
        rows = list(draw_parent(setup, said[MODEL], cases, worker.on.listener.reference))
        _keep(worker, pieces, trial, rows)
        store.record_rung(trial, 0, rows, {})
    else:
        trial.set_user_attr(FINGERPRINT, parent_fingerprint(setup, said[MODEL]))
    pieces.tell(trial, 0.0)


def _trial(worker: Worker, study: optuna.Study, trial: optuna.Trial) -> Worker:
    worker = _judging(worker)
    order, experiment = worker.facts.order, worker.on.setup.experiment
    evaluate = _evaluation(worker, study, trial, "trial", "images/t", order)
    racing = racing_of(experiment, order)
    # who leads has seen to it that no other trial is alike
    told = draw_trial(study, trial, experiment, order, racing, evaluate, copies=False)
    worker.on.listener.trial(told)
    return worker


def _check(worker: Worker, checks: optuna.Study, trial: optuna.Trial) -> Worker:
    worker = _judging(worker)
    order = orders(worker.facts.held_out, worker.on.setup.cases, worker.facts.order)

    def evaluate(role: str) -> Evaluate:
        if role == REPEAT:
            forget(worker.on.setup)
        return _evaluation(worker, checks, trial, role, "checks/c", order[role])

    worker.on.listener.check(*draw_check(checks, trial, order, evaluate))
    return worker


def _judging(worker: Worker) -> Worker:
    """The worker once it knows what healthy looks like: before the first trial there is somebody who says."""
    if worker.on.setup.standard.bands:
        return worker
    facts = store.load_facts(worker.study)
    return replace(
        worker, facts=facts, on=replace(worker.on, setup=with_references(worker.on.setup, facts.references))
    )


def _evaluation(
    worker: Worker, study: optuna.Study, trial: optuna.Trial, role: str, name: str, order: list[str]
) -> Evaluate:
    """What draws, and gives up where the trial is not this worker's any more."""
    draw = evaluation(role, name, order, worker.on)

    def evaluate(number: int, parameters: Mapping[str, Any], done: Collection[str], on_rung: OnRung) -> None:
        def keeping(rows: list[dict], seconds: Mapping[str, float]) -> bool:
            _keep(worker, study, trial, rows)
            return on_rung(rows, seconds)

        with queue.own_failures(study, trial, worker.name):
            draw(number, parameters, done, keeping)

    return evaluate


def _keep(worker: Worker, study: optuna.Study, trial: optuna.Trial, rows: list[dict]) -> None:
    """Before rows are written: their trial is still this worker's, and their files are where all can find
    them."""
    queue.require_held(study, trial, worker.name)
    if worker.artifacts is not None:
        for row in rows:
            for file in filter(None, (row["file"], row.get("film"))):
                worker.artifacts.put(file, worker.on.setup.out / file)
