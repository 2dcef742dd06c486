"""The search: ask, run, tell; stop within the budget, and resume where it was."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.errors import GridsearchError, RunFailed
from gridsearch.experiment import Experiment
from gridsearch.search.sampler import make_sampler
from gridsearch.search.space import grid, planned_trials, suggest
from gridsearch.trial import Outcome

FAILURES_IN_A_ROW = 3
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


@dataclass(frozen=True)
class Budget:
    """When to stop early. `trials` counts completed ones; `deadline` is in `time.time()` seconds."""

    trials: int | None = None
    deadline: float | None = None

    def allows(self, study: optuna.Study) -> bool:
        """Whether another trial may start: it must be wanted, and be likely to finish in time."""
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if self.trials is not None and len(done) >= self.trials:
            return False
        if self.deadline is None:
            return True
        durations = [trial.duration.total_seconds() for trial in done[-5:]]
        expected = sum(durations) / len(durations) if durations else 0.0
        return time.time() + expected < self.deadline


def search(
    study: optuna.Study,
    experiment: Experiment,
    budget: Budget,
    evaluate: Callable[[int, dict[str, Any]], Outcome],
    on_trial: Callable[[int, dict[str, Any], Outcome | GridsearchError], None],
) -> None:
    """Run trials until the experiment or the budget is done.

    A trial that a kill left behind is run again under its own number and with its own parameters, so a
    resumed study ends like an unbroken one. A trial that fails is told so, with its reason and no score.

    Raises:
        RunFailed: several trials in a row failed.
    """
    if experiment.search.sampler == "grid":
        enqueue_missing(study, experiment)
    failures = 0
    for trial in _trials(study, experiment, budget):
        parameters = suggest(trial, experiment)
        try:
            outcome = evaluate(trial.number, parameters)
        except RunFailed as error:
            trial.set_user_attr(store.REASON, error.lines[0])
            study.tell(trial, state=TrialState.FAIL)
            on_trial(trial.number, parameters, error)
            failures += 1
            if failures == FAILURES_IN_A_ROW:
                why = " ".join(line.strip() for line in error.lines)
                raise RunFailed(f"{failures} trials in a row failed.", why=why) from error
            continue
        store.record(trial, outcome.images, outcome.seconds)
        study.tell(trial, outcome.value)
        on_trial(trial.number, parameters, outcome)
        failures = 0


def _trials(study: optuna.Study, experiment: Experiment, budget: Budget) -> Iterator[optuna.Trial]:
    """The next trial to run, again and again: abandoned ones first, then enqueued ones, then sampled ones."""
    settings = experiment.search
    while budget.allows(study):
        trials = study.get_trials(deepcopy=False)
        unfinished = [trial for trial in trials if trial.state in UNFINISHED]
        complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        if not unfinished and (settings.sampler == "grid" or complete >= planned_trials(experiment)):
            return
        if settings.trials is not None and complete >= settings.trials:
            return
        abandoned = next((trial for trial in unfinished if trial.state == TrialState.RUNNING), None)
        number = abandoned.number if abandoned else unfinished[0].number if unfinished else len(trials)
        study.sampler = make_sampler(settings.sampler, settings.seed, number)
        yield optuna.Trial(study, abandoned._trial_id) if abandoned else study.ask()


def enqueue_missing(study: optuna.Study, experiment: Experiment) -> None:
    """Queue every point of the grid that no trial has, or will have, completed."""
    taken = [
        _parameters(trial)
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, *UNFINISHED)
    ]
    for point in grid(experiment):
        if point not in taken:
            study.enqueue_trial(point)


def _parameters(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters; before it runs they are only its fixed ones."""
    found = trial.params or trial.system_attrs.get("fixed_params", {})
    return {name: store.tidy(value) for name, value in found.items()}
