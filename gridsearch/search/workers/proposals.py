"""New trials: their parameters are asked of the sampler before a worker takes them."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared.optuna_private import StudyOfTrials, frozen, storage_of, study_id, trial_id
from gridsearch.search.parameters import parameters_of
from gridsearch.search.samplers.by_name import make_sampler
from gridsearch.search.samplers.space import main_parameter, suggest
from gridsearch.search.samplers.window_sampler import WindowSampler

PLAIN = 1e-6  # a difference between two numbers that no rounding explains


def window_sampler(experiment: Experiment) -> WindowSampler:
    """Return the sampler of a search for a window."""
    return WindowSampler(main_parameter(experiment), seed=experiment.search.seed)


def sampler_of(experiment: Experiment, number: int) -> BaseSampler:
    """Return the sampler for the trial of this number."""
    settings = experiment.search
    if settings.sampler == "window":
        return window_sampler(experiment)
    return make_sampler(settings.sampler, settings.seed, number, settings.trials)


def _seen(study: optuna.Study, sampler: BaseSampler, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return the study as a look has found it.

    A trial that waits with its parameters given counts as running, so that samplers take account of it.
    """
    seen = []
    for trial in trials:
        if trial.state == TrialState.WAITING and trial.params:
            trial = copy.copy(trial)
            trial.state = TrialState.RUNNING
        seen.append(trial)
    return StudyOfTrials(study, sampler, seen)


def propose(study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Create a trial and ask the sampler for its parameters. It is running until it is put into the queue.

    Args:
        trials: all others of the study.
    """
    storage = storage_of(study)
    new = storage.get_trial(storage.create_new_trial(study_id(study)))
    return ask_parameters(study, experiment, new, [*trials, new])


def ask_parameters(
    study: optuna.Study, experiment: Experiment, trial: FrozenTrial, trials: Sequence[FrozenTrial]
) -> FrozenTrial:
    """Return a trial with all its parameters; those that it lacks are asked for now.

    Args:
        trials: of the study, this one among them.
    """
    asked = optuna.Trial(_seen(study, sampler_of(experiment, trial.number), trials), trial_id(trial))
    suggest(asked, experiment)
    return frozen(asked)


def wanted(study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial]) -> bool:
    """Return whether the search has another trial to propose, while others wait or are under way."""
    settings = experiment.search
    if settings.sampler == "grid":
        return False  # all of it is queued
    going = sum(trial.state != TrialState.FAIL for trial in trials)
    if settings.trials is not None and going >= settings.trials:
        return False
    if settings.sampler != "window":
        return True
    sampler = window_sampler(experiment)
    return not sampler.done(_seen(study, sampler, trials))


def twin_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return a trial with the same parameters that has ended, or else one earlier in the queue.

    None where there is none, and for a trial that has images of its own already.
    """
    if store.batch_count(trial):
        return None
    mine = parameters_of(trial)
    others = [other for other in trials if other.number != trial.number and not _differs(other, mine)]
    alike = [other for other in others if parameters_of(other) == mine]
    ended = [other for other in alike if other.state in store.ENDED]
    before = [o for o in alike if o.state in store.UNFINISHED and o.number < trial.number]
    return next(iter(ended + before), None)


def _differs(other: FrozenTrial, mine: Mapping[str, Any]) -> bool:
    """Return whether a number plainly differs; a closer look at thousands of trials would take too long."""
    return any(
        isinstance(value, float) and abs(other.params.get(name, value) - value) > PLAIN
        for name, value in mine.items()
    )
