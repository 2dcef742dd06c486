"""A worker: it takes trials that wait in the queue of a study, one after the other, and evaluates them."""

import contextlib
import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.store.artifacts import Artifacts, gather, open_artifacts
from gridsearch.search.checks import REPEAT, cases_by_role, check_of, evaluate_check
from gridsearch.search.disk import picture_bytes
from gridsearch.search.evaluate import evaluate_trial, failures_recorded
from gridsearch.search.listener import Listener, RenderedReference
from gridsearch.search.load import prepare_and_load
from gridsearch.search.parameters import parameters_of
from gridsearch.search.prepare import Prepared
from gridsearch.search.resume import DifferentRun, other_versions
from gridsearch.search.trial.content import with_content
from gridsearch.search.trial.failures import Stamp, named_failures, require_free, require_unchanged, stamp_of
from gridsearch.search.trial.outcome import Batch
from gridsearch.search.trial.probe import probe_merges
from gridsearch.search.trial.sensitivity import ask_models_of, probe_blocks
from gridsearch.search.trial.setup import Setup, draw_parent, parent_fingerprint, with_references
from gridsearch.search.trial.standard import failure_notes, with_taste
from gridsearch.search.trial.trial import run_trial
from gridsearch.search.workers.probing import ANSWERS, RATIOS
from gridsearch.search.workers.references import CASES, FINGERPRINT, MODEL

SOONEST = 0.1  # seconds to the second look at an empty queue
EARLY = 1.0  # seconds between two looks for a study that has not been started
PATIENCE = 600.0  # seconds without a leader after which a worker gives up
START = "Start it: gridsearch run EXPERIMENT.toml with the same --storage."

# The errors of a trial that is another worker's: for Optuna it has ended, or, a ValueError, it waits.
NOT_OURS = (queue.Lost, UpdateFinishedTrialError, ValueError)


@dataclass
class Worker:
    """A worker with everything it renders with."""

    name: str  # unlike any other worker's
    study: optuna.Study
    references: optuna.Study
    checks: optuna.Study
    setup: Setup
    prepared: Prepared
    listener: Listener
    before: Mapping[str, Stamp]  # of the models and other files, by name, when they were opened
    artifacts: Artifacts | None = None  # a second place for images, for workers on several machines
    noted: set[str] = field(default_factory=set)  # scorers whose failures were told already
    alone: bool = False  # there is no other: nobody asks whether it is alive, and it knows what is next


def worker_of(
    name: str,
    study: optuna.Study,
    prepared: Prepared,
    setup: Setup,
    listener: Listener,
    address: str | None = None,
    alone: bool = False,
) -> Worker:
    """Return a worker on a study; its images go to the address, if any, as well as to the folder."""
    beside = store.references_of(study), store.checks_of(study)
    before = {file: stamp_of(path) for file, path in prepared.files.items()}
    artifacts = open_artifacts(address) if address else None
    return Worker(name, study, *beside, setup, prepared, listener, before, artifacts, alone=alone)


def work(experiment: Experiment, file: Path, out: Path, name: str, listener: Listener) -> str:
    """Evaluate what a run asks for until it is done; returns why there is nothing more to do.

    Raises:
        BadInput: the experiment, or a model here, is not the run's.
        RunFailed: no run leads the study, or something is wrong on this machine.
    """
    began = time.monotonic()
    if not store.has_study(out):
        minutes = f"{PATIENCE / 60:.0f} minutes"
        listener.note(f"No run has started in {out} yet: this worker waits for it, up to {minutes}.")
    while not store.has_study(out):
        if time.monotonic() - began > PATIENCE:
            raise RunFailed("No run has started this study.", where=out, fix=START)
        time.sleep(EARLY)
    with _refusal_told(out, name):
        prepared, setup = _prepared(experiment, file, out, listener)
    with named_failures(out), store.open_study(out, shared=True, on_wait=listener.note) as study:
        with _refusal_told(out, name):
            _require_same(store.load_facts(study), prepared.facts, file)
        address = store.place_of(out).artifacts
        worker = worker_of(name, study, prepared, setup, listener, address)
        beat: int | None = None
        heard, pause = time.monotonic(), SOONEST
        while True:
            said = queue.read_orders(study)
            if work_once(worker, said):
                pause = SOONEST
                continue
            if said.over:
                return said.over
            if said.leads != beat:
                beat, heard = said.leads, time.monotonic()
            if time.monotonic() - heard > PATIENCE:
                raise RunFailed(f"No run has led this study for {PATIENCE / 60:.0f} minutes.", fix=START)
            time.sleep(pause)
            pause = min(said.pause, 1.5 * pause)


@contextlib.contextmanager
def _refusal_told(out: Path, name: str) -> Iterator[None]:
    """Have the run say, too, why this worker is refused."""
    try:
        yield
    except BadInput as error:
        with store.open_study(out, shared=True) as study:
            queue.refuse(study, name, " ".join(line.strip() for line in error.lines))
        raise


def _prepared(experiment: Experiment, file: Path, out: Path, listener: Listener) -> tuple[Prepared, Setup]:
    try:
        return prepare_and_load(experiment, file, out, listener)
    except DifferentRun as error:
        raise BadInput(
            "This worker's experiment or models are not those of the run.",
            where=file,
            why=f"These differ: {', '.join(error.changed)}.",
            fix="Copy the run's experiment file and models to this machine; `inspect` shows their hashes.",
        ) from None


def _require_same(run: store.Facts, here: store.Facts, file: Path) -> None:
    """Refuse to render other cases than the run, or with other packages: its images could not be compared."""
    if run.order != here.order:
        raise BadInput("The experiment's prompts differ from the run's.", where=file)
    if others := other_versions(run, here):
        differ = ", ".join(f"{name} {theirs} (here {own})" for name, (theirs, own) in others.items())
        fix = "Install gridsearch on this machine as on the run's, with its constraints.txt."
        raise BadInput(
            "This worker's packages are not those of the run.", why=f"The run has {differ}.", fix=fix
        )


def work_once(worker: Worker, said: queue.Orders) -> bool:
    """Take a trial that waits, and evaluate it; returns whether there was one.

    However that ends early, the trial goes back to the queue, unless it is another worker's by then.
    """
    evaluations = {
        worker.references: _evaluate_piece,
        worker.study: _evaluate_trial,
        worker.checks: _evaluate_check,
    }
    queued = next((study for study in evaluations if study.study_name == said.source), None)
    if queued is None:
        return False
    trial = queue.take(queued, worker.name, said.released if queued is worker.study else None, worker.alone)
    if trial is None:
        return False
    try:
        with (
            contextlib.nullcontext()
            if worker.alone
            else queue.beating(queued, trial, worker.name, said.pace),
            failures_recorded(queued, trial),
            queue.own_failures(queued, trial, worker.name),
            named_failures(worker.setup.out),
        ):
            evaluations[queued](worker, queued, trial)
    except BaseException as error:
        if _give_back(worker, queued, trial, error) or not isinstance(error, NOT_OURS):
            raise
        silent = "this one was not heard from for too long"
        worker.listener.note(f"Trial {trial.number} was given to another worker: {silent}.")
    return True


def _give_back(worker: Worker, queued: optuna.Study, trial: optuna.Trial, error: BaseException) -> bool:
    """Put a trial back into the queue if it is still this worker's; returns whether it was."""
    held = not isinstance(error, queue.Lost)
    with contextlib.suppress(RunFailed):  # the leader finds it in any case
        held = held and queue.holds(queued, trial, worker.name)
        if held:
            queue.put_back(queued, trial)
    return held


def _evaluate_piece(worker: Worker, pieces: optuna.Study, trial: optuna.Trial) -> None:
    """Render some references, take the fingerprint of a parent, or ask all merges for the references."""
    setup, said, rows = worker.setup, trial.user_attrs, []
    if CASES in said:
        cases = [case for case in setup.cases if case.id in said[CASES]]
        for case, row in zip(cases, draw_parent(setup, said[MODEL], cases), strict=True):
            worker.listener.reference(RenderedReference(case, row["seconds"]))
            rows.append(row)
        rows = with_content(setup, rows, cases)
        _secure(worker, pieces, trial, rows)
        store.record_batch(trial, 0, rows, {})
    elif RATIOS in said:
        facts = store.load_facts(worker.study)
        gather(setup.out, facts.references or [])
        of, along = (facts.references or [], facts.order), [*setup.experiment.searched()]
        if len(along) == 1:
            answers = probe_merges(setup, *of, along[0], said[RATIOS])
        else:
            answers = probe_blocks(setup, ask_models_of(setup, *of))
        trial.set_user_attr(ANSWERS, store.json_safe(answers))
    else:
        trial.set_user_attr(FINGERPRINT, parent_fingerprint(setup, said[MODEL]))
    pieces.tell(trial, 0.0)


def _evaluate_trial(worker: Worker, study: optuna.Study, trial: optuna.Trial) -> None:
    order = worker.prepared.facts.order
    render = partial(_rendered, worker, study, trial, "trial", "images/t", order)
    evaluate_trial(study, trial, worker.setup.experiment, order, render)


def _evaluate_check(worker: Worker, checks: optuna.Study, trial: optuna.Trial) -> None:
    role, order = check_of(trial)[0].role, cases_by_role(worker.prepared.facts)
    if role == REPEAT:  # from its very beginning: nothing that lies in memory is used again
        worker.setup.live.holds.clear()
        worker.setup.renderer.encoded.clear()
    render = partial(_rendered, worker, checks, trial, role, "checks/c", order[role])
    evaluate_check(worker.study, checks, trial, order, render)


def _rendered(
    worker: Worker,
    study: optuna.Study,
    trial: optuna.Trial,
    role: str,
    name: str,
    order: Sequence[str],
    number: int,
    parameters: Mapping[str, Any],
    done: Collection[str],
) -> Generator[Batch]:
    """Yield the missing images of a trial, batch by batch, once they are safe (an `evaluate.RenderCases`).

    The listener is told its role, "trial" or that of a check; its images' names begin with `name`.
    """
    if not worker.setup.standard.bands:  # the references are there by now, and say what healthy looks like
        facts = store.load_facts(worker.study)
        references = facts.references or []
        setup = worker.setup
        by = with_taste(setup.standard, setup.experiment.score, facts.taste)
        worker.setup = with_references(replace(setup, standard=by), references)
        worker.noted |= failure_notes(references).keys()  # the leader has told of those
    setup, listener = worker.setup, worker.listener
    cases = {case.id: case for case in setup.cases}
    missing = [cases[case] for case in order if case not in done]
    require_unchanged(worker.prepared.files, worker.before)
    require_free(setup.out, len(missing) * picture_bytes(setup.experiment))
    listener.drawing(role, number, parameters, len(order) - len(missing), len(order))
    last = role == "trial" and order[-1] not in done  # a race may have more of this trial drawn
    following = partial(_next_parameters, worker if last else None)
    for batch in run_trial(setup, parameters, missing, f"{name}{number:04}_", listener.image, following):
        for scorer, text in failure_notes(batch.rows).items():
            if scorer not in worker.noted:
                worker.noted.add(scorer)
                listener.note(text)
        _secure(worker, study, trial, batch.rows)
        yield batch


def _next_parameters(worker: Worker | None) -> dict[str, Any] | None:
    """Return the parameters of the trial that this worker takes next, where no other may take it."""
    trial = queue.first_waiting(worker.study) if worker and worker.alone else None
    return parameters_of(trial) if trial else None


def _secure(worker: Worker, study: optuna.Study, trial: optuna.Trial, rows: Sequence[Mapping]) -> None:
    """Check, before rows are recorded, that the trial is still this worker's; give all workers the files."""
    queue.require_held(study, trial, worker.name)
    if worker.artifacts is not None:
        for row in rows:
            for file in filter(None, (row["file"], row.get("film"))):
                worker.artifacts.put(file, worker.setup.out / file)
