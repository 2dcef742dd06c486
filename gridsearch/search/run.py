"""A whole run: check, identify, open or resume the study, draw references, search, check what was found."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import optuna
import torch

from gridsearch import store
from gridsearch.dependence import dependent_notes, require_dependent
from gridsearch.drawing import DRAWING, provenance, usual_notes
from gridsearch.ends import parent_fingerprint, pure_models
from gridsearch.errors import GridsearchError, RunFailed
from gridsearch.experiment import Experiment
from gridsearch.judging import failure_notes, idle_notes, opened
from gridsearch.merge.sources import Residence
from gridsearch.outcome import Outcome
from gridsearch.parents import Parents, identify, identify_extras, open_parents, require_mode, warnings_about
from gridsearch.plan import require_disk
from gridsearch.prompt_notes import foreign_settings
from gridsearch.render.cases import Case
from gridsearch.render.components import component_folder, folder_digest
from gridsearch.render.draw import Drawn
from gridsearch.render.pipeline import placement
from gridsearch.score.score import Score
from gridsearch.search.alarms import alarming
from gridsearch.search.checks import HELD_OUT, REPEAT, Check, enqueue, run_checks, wanted_checks
from gridsearch.search.enough import leaders, narrow_enough
from gridsearch.search.grow import grown, has_grown, order_of
from gridsearch.search.loop import Budget, Told, enqueue_missing, parameters_of, search
from gridsearch.search.order import drawing_order, held_out_notes, held_out_prompts
from gridsearch.search.race import Evaluate, OnRung
from gridsearch.search.same import require_same_run
from gridsearch.search.space import planned_trials, require_suits
from gridsearch.setup import Setup, draw_references, load_setup, with_references
from gridsearch.trial import run_trial
from gridsearch.units import size
from gridsearch.weights import adapter_notes

PACKAGES = ("gridsearch", "torch", "diffusers", "transformers", "safetensors", "optuna", "numpy", "pillow")


class Listener(Protocol):
    """Who is told what happens, when it happens."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        """A file's hash is about to be computed; returns what is told the bytes of each block."""

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        """A model's weights are about to be read through; as `hashing`."""

    def note(self, text: str) -> None:
        """Something to know before a night is spent on it."""

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        """All is loaded: the trials left (about so many, where the search ends by itself) and done, the
        images of each, and how many references are drawn first."""

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        """Images are about to be drawn for a "trial", or to check one ("held_out", "repeat"): so many are
        there already, of so many in all. `number` is the trial's, or the check's own."""

    def step(self, step: int, steps: int) -> None:
        """So many steps of the batch that is under way are done."""

    def reference(self, drawn: Drawn) -> None: ...

    def image(self, case: Case, score: Score) -> None: ...

    def trial(self, told: Told) -> None: ...

    def check(
        self, check: Check, parameters: Mapping[str, Any], outcome: Outcome | GridsearchError
    ) -> None: ...


def run(experiment: Experiment, file: Path, out: Path, budget: Budget, listener: Listener) -> None:
    """Run the experiment read from `file` into `out`, or resume it there.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    parents = open_parents(experiment)
    require_mode(experiment, parents)
    require_suits(experiment)
    require_dependent(experiment)
    standard = opened(experiment.score)
    earlier = store.read_study(out) if store.has_study(out) else None
    facts = _facts(experiment, file, parents, listener, earlier and earlier.facts)
    if earlier:
        require_same_run(earlier.facts, facts, out)
    else:
        require_disk(experiment, out)
    hashes = {name: file["sha256"] for name, file in {**facts.models, **facts.extras}.items()}
    setup = load_setup(experiment, parents, out, listener, hashes, standard)
    setup = replace(setup, watch=replace(setup.watch, on_call=listener.step))
    adapters = adapter_notes(setup.weights.adapters)
    notes = warnings_about(experiment, parents) + dependent_notes(experiment)
    notes += usual_notes(experiment.render)
    for note in notes + foreign_settings(experiment) + adapters + residence_notes(setup.residence):
        listener.note(note)
    for note in held_out_notes(experiment, facts.held_out):
        listener.note(note)
    with store.locked(out):
        if not earlier:
            store.write_study(out, facts)
        elif has_grown(earlier.facts, facts):
            store.write_study(out, *grown(store.read_study(out), facts))
        with store.open_study(out) as study:
            _run_study(study, facts, setup, budget, listener)


def _facts(
    experiment: Experiment, file: Path, parents: Parents, listener: Listener, earlier: store.Facts | None
) -> store.Facts:
    """What holds for the run; the order of its cases goes on from where an earlier one was."""
    render, search = experiment.render, experiment.search
    place = placement(render.device, render.dtype)
    before = order_of(earlier) if earlier else []
    held_out = held_out_prompts(experiment.prompt, search, earlier.held_out if earlier else (), before)
    searched = [prompt for prompt in experiment.prompt if prompt.id not in held_out]
    order = drawing_order(searched, search.seed, search.races(), before)
    return store.Facts(
        experiment=experiment.model_dump(mode="json"),
        models=identify(parents, listener.hashing),
        extras=identify_extras(parents, listener.hashing),
        versions={package: version(package) for package in PACKAGES},
        references=None,
        planned=planned_trials(experiment),
        drawing={
            "on": str(place),
            "components": folder_digest(component_folder(render.config, render.vocabulary)),
            "settings": provenance(experiment, parents),
            "version": DRAWING,
        },
        file=str(file),
        order=[case.id for case in order],
        held_out=held_out,
    )


def _run_study(
    study: optuna.Study, facts: store.Facts, setup: Setup, budget: Budget, listener: Listener
) -> None:
    """Draw the references that are not there yet, search, then check what was found."""
    experiment = setup.experiment
    if experiment.search.sampler == "grid":
        enqueue_missing(study, experiment)
    earlier = store.load_facts(study)
    known, kept = earlier.references or [], earlier.parents
    known = [row for row in known if (setup.out / row["file"]).is_file()]
    trials = study.get_trials(deepcopy=False)
    ended = sum(trial.state in store.ENDED for trial in trials)
    missing = max(len(setup.cases) * len(experiment.reference_models()) - len(known), 0)
    about = experiment.search.sampler == "window"
    listener.start(store.remaining(facts, trials), ended, len(facts.order), missing, about)
    store.save_facts(study, replace(facts, references=known or None, parents=kept))

    noted: set[str] = set()
    if missing:
        with _named(setup.out):
            known = draw_references(setup, known, listener.reference)
        _note_failures(known, noted, listener)
    setup = with_references(setup, known)
    for note in idle_notes(setup.standard):
        listener.note(note)
    alone = {name: kept.get(name) or parent_fingerprint(setup, name) for name in pure_models(experiment)}
    store.save_facts(study, replace(facts, references=known, parents=alone))

    seconds = [row["seconds"] for row in known]
    budget = replace(budget, first=sum(seconds) / max(len(seconds), 1) * len(facts.order))
    evaluate = _evaluate("trial", "images/t", facts.order, setup, listener, noted)
    enough = partial(narrow_enough, study, setup.out, experiment.search.width)
    told = alarming(study, facts.experiment, listener.trial, listener.note)
    if search(study, experiment, facts.order, budget, evaluate, told, enough):
        _check(study, facts, setup, budget, listener, noted)


def _check(
    study: optuna.Study,
    facts: store.Facts,
    setup: Setup,
    budget: Budget,
    listener: Listener,
    noted: set[str],
) -> None:
    """Draw the leaders on held-out prompts, and the best once more."""
    checks = store.checks_of(study)
    held_out = [case.id for case in setup.cases if case.prompt_id in facts.held_out]
    order = {HELD_OUT: held_out, REPEAT: facts.order}
    best = leaders(study, setup.out, setup.experiment.search.confirm)
    wanted = wanted_checks(best, bool(held_out), checks.get_trials(deepcopy=False))
    trials = study.get_trials(deepcopy=False)
    enqueue(checks, wanted, {number: parameters_of(trials[number]) for number in best})

    def evaluate(role: str) -> Evaluate:
        if role == REPEAT:  # all of it: also what is in place already
            setup.live.holds.clear()
            setup.renderer.encoded.clear()
        return _evaluate(role, "checks/c", order[role], setup, listener, noted)

    run_checks(checks, order, lambda: budget.may_start(study), evaluate, listener.check)


def _evaluate(
    role: str, name: str, order: Sequence[str], setup: Setup, listener: Listener, noted: set[str]
) -> Evaluate:
    """What draws cases of a trial whose images are named so."""
    cases = {case.id: case for case in setup.cases}

    def evaluate(number: int, parameters: Mapping[str, Any], done: Collection[str], on_rung: OnRung) -> None:
        def noting(rows: list[dict], seconds: Mapping[str, float]) -> bool:
            _note_failures(rows, noted, listener)
            return on_rung(rows, seconds)

        missing = [cases[case] for case in order if case not in done]
        listener.drawing(role, number, parameters, len(order) - len(missing), len(order))
        with _named(setup.out):
            run_trial(f"{name}{number:04}_", parameters, setup, missing, listener.image, noting)

    return evaluate


def residence_notes(place: Residence) -> list[str]:
    """What the user should know of where the sources lie."""
    if place.fits:
        return []
    return [f"The models ({size(place.sources)}) do not fit into memory: each trial reads them from disk."]


def _note_failures(rows: Sequence[Mapping], noted: set[str], listener: Listener) -> None:
    """Say of each scorer once what it has no value for; `noted` are those that were said of before."""
    for name, text in failure_notes(rows).items():
        if name not in noted:
            noted.add(name)
            listener.note(text)


@contextlib.contextmanager
def _named(out: Path) -> Iterator[None]:
    """What may go wrong on any machine, by its name."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            "The memory is too small for one image at a time, with the VAE in tiles.",
            why=str(error).splitlines()[0],
            fix="Close other programs, or draw smaller images.",
        ) from error
    except OSError as error:
        raise RunFailed("A file could not be read or written.", where=out, why=str(error)) from error
