"""A search whose trials are rendered by a function of the test; leader, queue and pruning are real."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from gridsearch.experiment.experiment import Experiment
from gridsearch.results.shared import queue
from gridsearch.search.budget import Budget
from gridsearch.search.evaluate import RenderCases, Told, evaluate_trial, failures_recorded
from gridsearch.search.workers.dispatch import take_up
from gridsearch.search.workers.leader import search
from gridsearch.search.workers.look import InProcess, Leader, Leases


@dataclass(frozen=True)
class TrialsOnly:
    """A listener that hears of trials, and of nothing else."""

    trial: Callable[[Told], None]

    def note(self, _text: str) -> None:
        pass


def search_with(
    study: optuna.Study,
    experiment: Experiment,
    order: Sequence[str],
    budget: Budget,
    render: RenderCases,
    on_trial: Callable[[Told], Any] = lambda _: None,
    enough: Callable[[], str | None] = lambda: None,
) -> bool:
    """Search as a run in one process does, or go on where an earlier one was killed."""

    def work() -> bool:
        trial = queue.take(study, "here", queue.read_orders(study).released)
        if trial is None:
            return False
        try:
            with failures_recorded(study, trial):
                evaluate_trial(study, trial, experiment, order, render)
        except BaseException:
            queue.put_back(study, trial)
            raise
        return True

    queue.begin(study, queue.USUAL_PACE)
    leader = Leader(
        study,
        experiment,
        list(order),
        Path(),
        TrialsOnly(on_trial),
        InProcess(work),
        Leases(queue.MISSED * queue.USUAL_PACE, 0),
        lambda: True,
    )
    take_up(leader)
    return search(leader, budget, enough)
