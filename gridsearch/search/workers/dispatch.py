"""The queue of a search: which trials wait for a worker, and how many may be taken."""

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.optuna_private import storage_of, trial_id
from gridsearch.search.budget import Budget
from gridsearch.search.evaluate import copy_result
from gridsearch.search.parameters import parameters_of, tidied
from gridsearch.search.samplers.space import grid
from gridsearch.search.workers.look import Leader
from gridsearch.search.workers.proposals import ask_parameters, propose, twin_of, wanted, window_sampler

AHEAD = 4  # a trial waits for every so many that are running, so that no worker waits for the sampler
BLIND = ("grid", "random", "qmc")  # samplers that learn nothing: one trial waits for each that is running


def enqueue_missing(study: optuna.Study, experiment: Experiment) -> None:
    """Queue the points of the grid that no trial has completed or will; withdraw what left the grid."""
    points = [tidied(point) for point in grid(experiment)]
    taken, failed = [], []
    for trial in study.get_trials(deepcopy=False):
        if trial.state in store.UNFINISHED and parameters_of(trial) not in points:
            _withdraw(study, trial)
        elif trial.state in (*store.ENDED, *store.UNFINISHED):
            taken.append(parameters_of(trial))
        elif store.batch_count(trial):
            failed.append(trial)
    for point in grid(experiment):
        if tidied(point) not in taken:
            # what a failed trial had rendered before it failed need not be rendered again
            rendered = next((trial for trial in failed if parameters_of(trial) == tidied(point)), None)
            study.enqueue_trial(point, user_attrs=store.batches_of(rendered) if rendered else None)


def _withdraw(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that the experiment no longer asks for. `Study.tell` takes running trials only."""
    storage, number = storage_of(study), trial_id(trial)
    storage.set_trial_user_attr(number, store.REASON, "no longer asked for")
    storage.set_trial_state_values(number, TrialState.FAIL)


def why_done(
    study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial], narrow: str | None
) -> str | None:
    """Return why the search needs no further trial; None while it does, or while trials are unfinished.

    Args:
        narrow: why what has ended is enough; None where it is not.
    """
    settings = experiment.search
    if any(trial.state in store.UNFINISHED for trial in trials):
        return None
    if settings.sampler == "grid":
        return "every point of the grid is done"
    ended = sum(trial.state in store.ENDED for trial in trials)
    if settings.trials is not None and ended >= settings.trials:
        return f"{ended} trials are done"
    if settings.sampler == "window" and window_sampler(experiment).done(study):
        return "the window and the best in it are found, as closely as the steps allow"
    return narrow


def take_up(leader: Leader) -> None:
    """Queue the trials that an earlier run left running.

    Where workers of other machines may share the study, one that a worker holds is left to it.
    """
    alone = store.place_of(leader.out).url is None
    for study in (leader.study, store.checks_of(leader.study), store.references_of(leader.study)):
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not alone and queue.lease_of(trial):
                continue
            if study is leader.study:
                trials = study.get_trials(deepcopy=False)
                trial = ask_parameters(study, leader.experiment, trial, trials)
                _place(leader, trial, study.get_trials(deepcopy=False))
            else:
                queue.put_back(study, trial)
    _hold_copies(leader)


def _hold_copies(leader: Leader) -> None:
    """Hold the trials that wait for nothing but the images of another with the same parameters.

    They were copies before the run was given more prompts.
    """
    study, storage = leader.study, storage_of(leader.study)
    trials = study.get_trials(deepcopy=False)
    known = {_key(trial) for trial in trials if trial.state in store.ENDED}
    for trial in trials:
        if trial.state not in store.UNFINISHED:
            continue
        if trial.state == TrialState.WAITING and not store.batch_count(trial) and _key(trial) in known:
            storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING)
            ask_parameters(study, leader.experiment, storage.get_trial(trial_id(trial)), trials)
            leader.held.add(trial.number)
        known.add(_key(trial))


def _key(trial: FrozenTrial) -> tuple:
    return tuple(sorted(parameters_of(trial).items()))


def fill_queue(leader: Leader, trials: list[FrozenTrial], budget: Budget, proposing: bool) -> bool:
    """Have as many trials wait as are wanted soon; returns whether any may still start.

    Args:
        proposing: whether new trials are wanted at all.
    """
    study = leader.study
    held = [trial for trial in trials if trial.number in leader.held]
    for trial in held:
        _place(leader, trial, trials)
    if held:
        trials = study.get_trials(deepcopy=False)
    most = budget.startable(trials)
    waiting = sum(trial.state == TrialState.WAITING for trial in trials)
    running = sum(t.state == TrialState.RUNNING and t.number not in leader.held for t in trials)
    idle = max(leader.leases.idle(), leader.crew.size - running)
    enough = depth(running, idle, leader.experiment.search.sampler)
    enough = enough if most is None else min(enough, most)
    while waiting < enough and proposing and wanted(study, leader.experiment, trials):
        new = propose(study, leader.experiment, trials)
        waiting += _place(leader, new, trials)
        trials.append(storage_of(study).get_trial(trial_id(new)))
    if (pause := queue.pause_for(idle + running)) != leader.pause:
        queue.give_orders(study, pause=pause)
        leader.pause = pause
    if (below := to_release(trials, most, enough)) != leader.released:
        queue.give_orders(study, released=below)
        leader.released = below
    return most is None or most > 0


def _place(leader: Leader, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Put a proposal into the queue, unless another trial has the same parameters.

    The result of one that has ended is copied. While one is unfinished, this one is held, and placed later.
    """
    twin = twin_of(trial, trials)
    leader.held.add(trial.number)
    if twin is not None and twin.state in store.UNFINISHED:
        return False
    leader.held.discard(trial.number)
    if twin is None:
        return queue.put_back(leader.study, trial)
    objectives = leader.experiment.search.objectives()
    own = optuna.Trial(leader.study, trial_id(trial))
    copy_result(leader.study, own, twin, len(leader.order), objectives)
    return False


def to_release(trials: Sequence[FrozenTrial], most: int | None, wanted: int) -> int:
    """Return the number below which trials may be taken, so that as many wait as are wanted.

    Args:
        most: how many may still start; None for any number.
    """
    waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
    wanted = min(wanted, len(waiting) if most is None else most, len(waiting))
    return waiting[wanted - 1] + 1 if wanted > 0 else 0


def depth(running: int, idle: int, sampler: str) -> int:
    """Return how many trials should wait, so that no worker does: one for each that is idle, or soon will be.

    A trial that waits was asked for without the results of those that are running: no more than needed.

    Args:
        idle: workers that have nothing to render.
    """
    return max(1 + running // (1 if sampler in BLIND else AHEAD), idle)
