"""The references as trials of their own: the leader queues them, workers render them, the leader scores them.

A piece is a trial of a study beside the search's: some cases of one parent, or the fingerprint of a parent's
own weights, by which a merge is recognised that is that parent alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import RunFailed
from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.store.artifacts import gather
from gridsearch.search.listener import RenderedReference
from gridsearch.search.trial.standard import (
    Standard,
    failure_notes,
    idle_notes,
    scored_references,
    standard_of,
)
from gridsearch.search.workers.look import Leader, looks

MODEL, CASES = "model", "cases"  # attributes of a piece; one without cases asks for the fingerprint
FINGERPRINT = "fingerprint"
PIECE_IMAGES = 8  # images: few enough for many workers to share them, enough to be worth a merge

Piece = tuple[str, list[str]]  # a model and the ids of cases


def missing_pieces(
    known: Sequence[Mapping], models: Sequence[str], cases: Sequence[str], size: int
) -> Iterator[Piece]:
    """Yield the references that no row is of in pieces of so many cases, the same ones on every resume."""
    there = {(row["model"], case_of(row)) for row in known}
    for model in models:
        for first in range(0, len(cases), size):
            piece = [case for case in cases[first : first + size] if (model, case) not in there]
            if piece:
                yield model, piece


def draw_references(leader: Leader, facts: store.Facts, by: Standard, pieces: Sequence[Piece]) -> store.Facts:
    """Have the missing references rendered, and score them; returns the facts with all of them.

    Raises:
        RunFailed: one could not be rendered.
    """
    known, parents = facts.references or [], facts.parents
    alone = [name for name in leader.experiment.pure_models() if name not in parents]
    models = leader.experiment.reference_models()
    standard = standard_of([row for row in known if row["model"] in models], [*leader.cases], by)
    if pieces or alone:
        study = store.references_of(leader.study)
        _enqueue(study, [*pieces, *((model, []) for model in alone)])
        queue.draw_from(leader.study, study)
        done = _rendered_pieces(leader, study)
        said = [trial.user_attrs for trial in done if trial.state == TrialState.COMPLETE]
        parents = parents | {attrs[MODEL]: attrs[FINGERPRINT] for attrs in said if FINGERPRINT in attrs}
        asked = {(model, case) for model, ids in pieces for case in ids}
        new = [row for row in _rows_of(done) if (row["model"], case_of(row)) in asked]
        if new:
            gather(leader.out, new)
            known, standard = scored_references(leader.out, known + new, models, leader.cases, by)
            for note in failure_notes(known).values():
                leader.listener.note(note)
    for note in idle_notes(standard):
        leader.listener.note(note)
    return replace(facts, references=known, parents=parents)


def _enqueue(study: optuna.Study, wanted: Sequence[Piece]) -> None:
    """Queue the pieces that are neither queued nor rendered already."""
    there = {
        (trial.user_attrs.get(MODEL), tuple(trial.user_attrs.get(CASES, ())))
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.FAIL
    }
    for model, cases in wanted:
        if (model, tuple(cases)) not in there:
            study.enqueue_trial({}, user_attrs={MODEL: model} | ({CASES: cases} if cases else {}))


def _rendered_pieces(leader: Leader, study: optuna.Study) -> Sequence[FrozenTrial]:
    """Return the pieces, once all of them have ended, or raise RunFailed once one has failed."""
    seen: set[str] = set()
    failed = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.FAIL}
    for trials in looks(leader, study):
        for row in _rows_of(trials):
            if row["file"] not in seen and not leader.crew.here:
                leader.listener.reference(RenderedReference(leader.cases[case_of(row)], row["seconds"]))
            seen.add(row["file"])
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in failed and MODEL in trial.user_attrs:
                why = str(trial.user_attrs.get(store.REASON))
                raise RunFailed("The references could not be rendered.", why=why)
        if all(trial.state.is_finished() for trial in trials):
            return trials
    raise AssertionError  # looks never end


def _rows_of(pieces: Sequence[FrozenTrial]) -> list[dict]:
    """Return the rows of all pieces that are rendered."""
    return [row for piece in pieces if piece.state == TrialState.COMPLETE for row in store.images_of(piece)]
