"""A study's trials with the rows of their images scored anew, and what follows from those."""

from collections.abc import Callable, Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from gridsearch.results import store
from gridsearch.search.racing import NEVER_BEST, losses_by_step
from gridsearch.search.resume import valued
from gridsearch.search.trial.outcome import Outcome


def with_rows(
    stored: store.Stored, scored: Callable[[Mapping], dict], order: Sequence[str], objectives: Sequence[str]
) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Return a study's trials and checks, each image's row as `scored` gives it, and their values with it."""
    trials = [_rescored(trial, scored, order, objectives) for trial in stored.trials]
    trials = [_never_best(trial, trials) for trial in trials]
    return trials, [_rescored(check, scored, (), ("value",)) for check in stored.checks]


def _rescored(
    trial: FrozenTrial, scored: Callable[[Mapping], dict], order: Sequence[str], objectives: Sequence[str]
) -> FrozenTrial:
    """Return the same trial with the rows and the value that today's scores give it."""
    rows = [scored(row) for row in store.images_of(trial)]
    if not rows:
        return trial
    outcome = Outcome(rows, store.seconds_of(trial), max(len(rows), len(order)))
    attrs = store.with_images(trial, rows)
    if store.SUMMARY in attrs:
        attrs[store.SUMMARY] = outcome.summary()
    ended = trial.state in store.ENDED
    return store.copied(
        trial,
        values=outcome.values(objectives) if ended else None,
        user_attrs=attrs,
        intermediate_values=losses_by_step(rows, order) if trial.intermediate_values else {},
    )


def _never_best(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the same trial; one that a race stopped counts as worse than the best of all."""
    if trial.state != TrialState.PRUNED or trial.value is None:
        return trial
    complete = [one.value for one in trials if one.state == TrialState.COMPLETE and one.value is not None]
    return valued(trial, max(trial.value, min(complete, default=0.0) + NEVER_BEST))
