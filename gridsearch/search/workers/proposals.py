"""What to draw next, where many draw at once: new trials with their parameters, before anybody takes them."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.search_samplers import SEARCH_SAMPLERS
from gridsearch.results import store
from gridsearch.search.loop import parameters_of, sampler_of
from gridsearch.search.samplers.space import suggest

PLAIN = 1e-6  # between two numbers, which are compared in the decimals that were written
AHEAD = 4  # a trial waits for every so many that are drawn, so that no worker waits for the sampler
# Where nothing is learnt, one waits for each that is drawn.
BLIND = tuple(name for name, known in SEARCH_SAMPLERS.items() if not known.learns)


class _Seen(optuna.Study):
    """A study as a look has found it. What waits with its parameters given is under way in its eyes: a
    sampler then minds it."""

    def __init__(self, study: optuna.Study, sampler: BaseSampler, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(study.study_name, study._storage, sampler, study.pruner)
        self._trials = [*map(_as_running, trials)]

    def _get_trials(
        self, deepcopy: bool = True, states: Any = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def _as_running(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.WAITING or not trial.params:
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.RUNNING
    return seen


def propose(study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """A new trial with its parameters. It is under way and nobody's, until it is put into the queue.

    Args:
        trials: all others of the study.
    """
    trial_id = study._storage.create_new_trial(study._study_id)
    new = study._storage.get_trial(trial_id)
    return with_parameters(study, experiment, new, [*trials, new])


def with_parameters(
    study: optuna.Study, experiment: Experiment, trial: FrozenTrial, trials: Sequence[FrozenTrial]
) -> FrozenTrial:
    """A trial with all its parameters: those that it lacks are asked for now.

    Args:
        trials: of the study, this one among them.
    """
    asked = optuna.Trial(_Seen(study, sampler_of(experiment, trial.number), trials), trial._trial_id)
    suggest(asked, experiment)
    return asked._cached_frozen_trial


def wanted(study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial]) -> bool:
    """Whether the search has another trial to propose, while others wait or are under way."""
    settings = experiment.search
    if settings.sampler == "grid":
        return False  # all of it is queued
    going = sum(trial.state != TrialState.FAIL for trial in trials)
    if settings.trials is not None and going >= settings.trials:
        return False
    number = len(trials)
    return settings.sampler != "window" or not sampler_of(experiment, number).done(
        _Seen(study, sampler_of(experiment, number), trials)
    )


def twin_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """A trial with the same parameters that has ended, or else one that is before this one in the queue."""
    mine = parameters_of(trial)
    others = [other for other in trials if other.number != trial.number and not _differs(other, mine)]
    alike = [other for other in others if parameters_of(other) == mine]
    ended = [other for other in alike if other.state in store.ENDED]
    before = [o for o in alike if o.state in store.UNFINISHED and o.number < trial.number]
    return next(iter(ended + before), None)


def _differs(other: FrozenTrial, mine: Mapping[str, Any]) -> bool:
    """Whether that is plain without a closer look, of which thousands of trials would take too long."""
    return any(
        isinstance(value, float) and abs(other.params.get(name, value) - value) > PLAIN
        for name, value in mine.items()
    )


def to_release(trials: Sequence[FrozenTrial], most: int | None, wanted: int) -> int:
    """Below which number trials may be taken, so that as many wait as are wanted.

    Args:
        most: how many may still begin; None for any number.
    """
    waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
    wanted = min(wanted, len(waiting) if most is None else most, len(waiting))
    return waiting[wanted - 1] + 1 if wanted > 0 else 0


def depth(drawn: int, idle: int, sampler: str) -> int:
    """How many trials should wait, so that no worker does: one for each that is idle, or soon will be.

    What waits was asked for without the results of what is drawn: no more of it than is needed.

    Args:
        drawn: trials that are drawn now.
        idle: workers that have nothing to draw.
    """
    return max(1 + drawn // (1 if sampler in BLIND else AHEAD), idle)
