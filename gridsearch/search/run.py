"""A whole run in one process: check, identify, open or resume the study, draw references, search, check."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna

from gridsearch.base.errors import MustStop
from gridsearch.base.words import size
from gridsearch.experiment.experiment import Experiment
from gridsearch.merge.engine.sources import Residence
from gridsearch.merge.weights import adapter_notes
from gridsearch.results import store
from gridsearch.results.store.artifacts import rows_with_pictures as rows_of
from gridsearch.search.checks import REPEAT, alarming, orders, queue_checks, run_checks
from gridsearch.search.disk.cleanup import sweep
from gridsearch.search.evaluate import Easel, easel, evaluation, forget, make_room, note_failures
from gridsearch.search.listener import Listener
from gridsearch.search.loop import Budget, enqueue_missing, search
from gridsearch.search.prepare import Prepared, notes_on, prepare, study_of
from gridsearch.search.racing.rungs import Evaluate
from gridsearch.search.stop import narrow_enough
from gridsearch.search.trial.failures import named
from gridsearch.search.trial.fingerprints import parent_fingerprint
from gridsearch.search.trial.setup import Setup, draw_references, load_setup, with_references
from gridsearch.search.trial.standard import idle_notes

TAKEN = "Leave it to that one; or stop it, and give the same command again."


def run(experiment: Experiment, file: Path, out: Path, budget: Budget, listener: Listener) -> None:
    """Run the experiment read from `file` into `out`, or resume it there.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    earlier = store.read_study(out) if store.has_study(out) else None
    prepared = prepare(experiment, file, out, listener, earlier)
    setup = loaded(prepared, out, listener)
    with (
        store.locked(out, listener.note) as held,
        named(out),
        study_of(prepared, out, listener) as study,
    ):
        _run_study(study, prepared, setup, budget, listener, held)


def loaded(prepared: Prepared, out: Path, listener: Listener) -> Setup:
    """All that draws; what is to know of it is told."""
    setup = load_setup(
        prepared.experiment, prepared.parents, out, listener, prepared.hashes, prepared.standard
    )
    for note in notes_on(prepared) + adapter_notes(setup.weights.adapters) + residence_notes(setup.residence):
        listener.note(note)
    return replace(setup, watch=replace(setup.watch, on_call=listener.step))


def _run_study(
    study: optuna.Study,
    prepared: Prepared,
    setup: Setup,
    budget: Budget,
    listener: Listener,
    held: store.Held,
) -> None:
    """Draw the references that are not there yet, search, then check what was found."""
    experiment, facts = setup.experiment, prepared.facts
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

    on = easel(setup, listener, prepared.files)
    if missing:
        make_room(study, setup.out, experiment, len(experiment.reference_models()))
        known = draw_references(setup, known, listener.reference)
        note_failures(known, on.noted, listener)
    on = replace(on, setup=with_references(setup, known))
    for note in idle_notes(on.setup.standard):
        listener.note(note)
    alone = {name: kept.get(name) or parent_fingerprint(setup, name) for name in experiment.pure_models()}
    store.save_facts(study, replace(facts, references=known, parents=alone))

    seconds = [row["seconds"] for row in known]
    budget = replace(budget, first=sum(seconds) / max(len(seconds), 1) * len(facts.order))
    evaluate = evaluation("trial", "images/t", facts.order, on)
    enough = partial(narrow_enough, study, setup.out, experiment.search.width)

    def ready() -> None:
        if not held.still():
            raise MustStop("Another machine has taken over this folder.", where=setup.out, fix=TAKEN)
        make_room(study, setup.out, experiment)

    told = alarming(study, facts.experiment, listener.trial, listener.note)
    if search(study, experiment, facts.order, budget, evaluate, told, enough, ready):
        _check(study, facts, on, budget)
        sweep(setup.out, rows_of(store.stored(study)))


def _check(study: optuna.Study, facts: store.Facts, on: Easel, budget: Budget) -> None:
    """Draw the leaders on held-out prompts, and the best once more."""
    checks = store.checks_of(study)
    order = orders(facts.held_out, on.setup.cases, facts.order)
    queue_checks(study, checks, on.setup.out, on.setup.experiment, order)

    def evaluate(role: str) -> Evaluate:
        make_room(study, on.setup.out, on.setup.experiment)
        if role == REPEAT:
            forget(on.setup)
        return evaluation(role, "checks/c", order[role], on)

    run_checks(checks, order, lambda: budget.may_start(study), evaluate, on.listener.check)


def residence_notes(place: Residence) -> list[str]:
    """What the user should know of where the sources lie."""
    if place.fits:
        return []
    return [f"The models ({size(place.sources)}) do not fit into memory: each trial reads them from disk."]
