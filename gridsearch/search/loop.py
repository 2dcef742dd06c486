"""The search: ask, run, tell; stop within the budget, and resume where it was."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.errors import GridsearchError, RunFailed
from gridsearch.experiment import Experiment
from gridsearch.outcome import Outcome
from gridsearch.search.sampler import make_sampler
from gridsearch.search.space import grid, planned_trials, suggest

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
        # Not the trials' own clocks: an interrupted one counts the hours until it was taken up again.
        durations = [sum(trial.user_attrs[store.SECONDS].values()) for trial in done[-5:]]
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
    failures = 0
    for trial in _trials(study, experiment, budget):
        parameters = suggest(trial, experiment)
        try:
            outcome = _same_before(study, parameters) or evaluate(trial.number, parameters)
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
        abandoned = next((trial for trial in unfinished if trial.state == TrialState.RUNNING), None)
        number = abandoned.number if abandoned else unfinished[0].number if unfinished else len(trials)
        study.sampler = make_sampler(settings.sampler, settings.seed, number)
        yield optuna.Trial(study, abandoned._trial_id) if abandoned else study.ask()


def enqueue_missing(study: optuna.Study, experiment: Experiment) -> None:
    """Queue the points of the grid that no trial has completed or will; withdraw what left the grid."""
    points = [tidied(point) for point in grid(experiment)]
    taken = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state in UNFINISHED and parameters_of(trial) not in points:
            withdraw(study, trial)
        elif trial.state in (TrialState.COMPLETE, *UNFINISHED):
            taken.append(parameters_of(trial))
    for point in grid(experiment):
        if tidied(point) not in taken:
            study.enqueue_trial(point)


def withdraw(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that the experiment no longer asks for. `Study.tell` takes running trials only."""
    study._storage.set_trial_user_attr(trial._trial_id, store.REASON, "no longer asked for")
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _same_before(study: optuna.Study, parameters: Mapping[str, Any]) -> Outcome | None:
    """What a completed trial with the same parameters found: it would draw the same images again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if parameters_of(trial) == tidied(parameters):
            return Outcome(
                trial.user_attrs[store.IMAGES], dict.fromkeys(trial.user_attrs[store.SECONDS], 0.0)
            )
    return None


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters; those that it has not asked for yet are only its fixed ones."""
    return tidied(trial.system_attrs.get("fixed_params", {}) | trial.params)


def tidied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: store.tidy(value) for name, value in parameters.items()}
