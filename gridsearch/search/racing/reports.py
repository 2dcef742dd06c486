"""The values that a trial reports to Optuna: each image's loss, and what a pruned trial counts as."""

from collections.abc import Mapping, Sequence

import optuna

from gridsearch.render.cases import case_of
from gridsearch.results.shared.optuna_private import frozen
from gridsearch.score.loss import image_losses

LAST_STEP = 10**9  # where a pruned trial reports its value: beyond every case
NEVER_BEST = 0.01  # by how much a pruned trial is at least worse than the best


def stopped_value(value: float, best: float) -> float:
    """Return the value that a pruned trial counts with: never better than the best complete trial's."""
    return max(value, best + NEVER_BEST)


def losses_by_step(rows: Sequence[Mapping], order: Sequence[str]) -> dict[int, float]:
    """Return each image's loss by its step: its case's place in the order."""
    if not rows:
        return {}
    losses = image_losses(*zip(*((row["verdict"], row["defect"]) for row in rows), strict=True))
    place = {case: i for i, case in enumerate(order)}
    return {place[case_of(row)]: float(loss) for row, loss in zip(rows, losses, strict=True)}


def report_missing(trial: optuna.Trial, order: Sequence[str], rows: Sequence[Mapping]) -> None:
    """Report the losses of images that were stored without, by an earlier version."""
    known = frozen(trial).intermediate_values
    for step, loss in losses_by_step(rows, order).items():
        if step not in known:
            trial.report(loss, step)
