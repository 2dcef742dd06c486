"""A trial's images, a rung at a time: kept as they come, and the trial stopped where it cannot win.

A rung is what is drawn before anyone looks: a batch, or a few. An interrupted trial goes on after its last
whole rung.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import optuna

from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.score.loss import image_losses
from gridsearch.search.racing.pruner import Racing
from gridsearch.search.trial.outcome import Outcome

LAST_STEP = 10**9  # where a stopped trial reports what its value would have been
NEVER_BEST = 0.01  # how much worse than the best a stopped trial is taken to be at least

OnRung = Callable[[list[dict], Mapping[str, float]], bool]


class Evaluate(Protocol):
    """Merges at the parameters and draws cases; a rung's rows and seconds go to `on_rung` once they are safe.

    Args:
        done: ids of the cases that are drawn already.
        on_rung: says whether to go on.
    """

    def __call__(
        self, number: int, parameters: Mapping[str, Any], done: Collection[str], on_rung: OnRung
    ) -> None: ...


def run_cases(
    study: optuna.Study,
    trial: optuna.Trial,
    parameters: Mapping[str, Any],
    order: Sequence[str],
    pruner: Racing | None,
    evaluate: Evaluate,
) -> tuple[Outcome, str | None]:
    """Draw what a trial is still missing.

    Args:
        order: ids of the study's cases.
        pruner: None where every trial is drawn to its end.

    Returns:
        what the trial found, and why it was stopped before its last case.
    """
    frozen = trial._cached_frozen_trial  # up to date: nobody else writes to it
    rows, rungs = store.images_of(frozen), store.rungs_of(frozen)
    seconds = store.seconds_of(frozen)
    stop = None
    # what was drawn whole once, and has only become longer, is not stopped any more
    races = pruner is not None and not frozen.user_attrs.get(store.WHOLE)

    def look() -> None:
        nonlocal stop
        if races and len(rows) < len(order):
            stop = pruner.reason(study, trial._cached_frozen_trial)

    def on_rung(new: list[dict], took: Mapping[str, float]) -> bool:
        nonlocal rungs
        losses = losses_by_step(new, order) if pruner is not None else {}
        store.record_rung(trial, rungs, new, took, losses)
        rungs += 1
        rows.extend(new)
        for part, value in took.items():
            seconds[part] = seconds.get(part, 0.0) + value
        look()
        return stop is None

    if rows:
        if pruner is not None:
            _report(trial, order, rows)
        look()
    if stop is None and len(rows) < len(order):
        evaluate(trial.number, parameters, {case_of(row) for row in rows}, on_rung)
    return Outcome(rows, seconds, len(order)), stop


def stopped_value(outcome: Outcome, best: float) -> float:
    """What a stopped trial counts as: as if what is missing were like what is there, and never the best.

    Args:
        best: the value of the best trial that was drawn whole.
    """
    return max(outcome.value, best + NEVER_BEST)


def losses_by_step(rows: Sequence[Mapping], order: Sequence[str]) -> dict[int, float]:
    """Each image's loss by its case's place in the order: what a trial reports."""
    if not rows:
        return {}
    losses = image_losses(*zip(*((row["verdict"], row["defect"]) for row in rows), strict=True))
    place = {case: i for i, case in enumerate(order)}
    return {place[case_of(row)]: float(loss) for row, loss in zip(rows, losses, strict=True)}


def _report(trial: optuna.Trial, order: Sequence[str], rows: Sequence[Mapping]) -> None:
    """What was kept without it, by an earlier version or through a proxy."""
    known = trial._cached_frozen_trial.intermediate_values
    for step, loss in losses_by_step(rows, order).items():
        if step not in known:
            trial.report(loss, step)
