"""The references as work for many: who leads queues pieces of it, workers draw them, who leads judges.

A piece is a trial of a study beside the search's: some cases of one parent, or the fingerprint of a parent's
own weights, by which a merge is recognised that is that parent alone.
"""

from collections.abc import Iterator, Mapping, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.render.cases import Case, case_of
from gridsearch.results import store

MODEL, CASES = (
    "model",
    "cases",
)  # attributes of a piece; without cases it is the fingerprint that is asked for
FINGERPRINT = "fingerprint"
PIECE = 8  # images, so that many workers share them and a merge is worth it


def missing_pieces(
    known: Sequence[Mapping], models: Sequence[str], cases: Sequence[Case]
) -> Iterator[tuple[str, list[str]]]:
    """What is still to be drawn, in pieces: (model, ids of cases). The same cases fall into the same pieces.

    Args:
        known: rows of the references that are there.
    """
    there = {(row["model"], case_of(row)) for row in known}
    for model in models:
        for first in range(0, len(cases), PIECE):
            piece = [case.id for case in cases[first : first + PIECE] if (model, case.id) not in there]
            if piece:
                yield model, piece


def enqueue_pieces(
    pieces: optuna.Study, wanted: Sequence[tuple[str, list[str]]], alone: Sequence[str]
) -> None:
    """Queue what is not queued, nor drawn, already.

    Args:
        alone: models whose fingerprints are asked for.
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
    """The rows of all pieces that are drawn."""
    done = [trial for trial in pieces if trial.state == TrialState.COMPLETE]
    return [row for trial in done for row in store.images_of(trial)]


def fingerprints_of(pieces: Sequence[FrozenTrial]) -> dict[str, str]:
    """Model -> the fingerprint of its weights alone."""
    return {
        trial.user_attrs[MODEL]: trial.user_attrs[FINGERPRINT]
        for trial in pieces
        if trial.state == TrialState.COMPLETE and FINGERPRINT in trial.user_attrs
    }
