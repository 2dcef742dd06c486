"""The references as trials of their own: the leader queues them, workers render them, the leader scores them.

A piece is a trial of a study beside the search's: some cases of one parent, or the fingerprint of a parent's
own weights, by which a merge is recognised that is that parent alone.
"""

from collections.abc import Iterator, Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.render.cases import Case, case_of
from gridsearch.results import store

MODEL, CASES = "model", "cases"  # attributes of a piece; one without cases asks for the fingerprint
FINGERPRINT = "fingerprint"
PIECE_IMAGES = 8  # images: few enough for many workers to share them, enough to be worth a merge


def missing_pieces(
    known: Sequence[Mapping], models: Sequence[str], cases: Sequence[Case], size: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield the references that are missing in pieces: (model, ids of cases), the same ones on every resume.

    Args:
        known: rows of the references that are there.
        size: cases of a piece.
    """
    there = {(row["model"], case_of(row)) for row in known}
    for model in models:
        for first in range(0, len(cases), size):
            piece = [case.id for case in cases[first : first + size] if (model, case.id) not in there]
            if piece:
                yield model, piece


def enqueue_pieces(
    pieces: optuna.Study, wanted: Sequence[tuple[str, list[str]]], alone: Sequence[str]
) -> None:
    """Queue the pieces that are neither queued nor rendered already.

    Args:
        alone: models whose fingerprints are needed.
    """
    there = {
        (trial.user_attrs[MODEL], tuple(trial.user_attrs.get(CASES, ())))
        for trial in pieces.get_trials(deepcopy=False)
        if trial.state != TrialState.FAIL
    }
    for model, cases in wanted:
        if (model, tuple(cases)) not in there:
            pieces.enqueue_trial({}, user_attrs={MODEL: model, CASES: cases})
    for model in alone:
        if (model, ()) not in there:
            pieces.enqueue_trial({}, user_attrs={MODEL: model})


def rows_of(pieces: Sequence[FrozenTrial]) -> list[dict]:
    """Return the rows of all pieces that are rendered."""
    done = [trial for trial in pieces if trial.state == TrialState.COMPLETE]
    return [row for trial in done for row in store.images_of(trial)]


def fingerprints_of(pieces: Sequence[FrozenTrial]) -> dict[str, str]:
    """Return model -> the fingerprint of its weights alone."""
    return {
        trial.user_attrs[MODEL]: trial.user_attrs[FINGERPRINT]
        for trial in pieces
        if trial.state == TrialState.COMPLETE and FINGERPRINT in trial.user_attrs
    }
