"""The queue of a search: its new trials, which of them wait for a worker, and how many may be taken.

A trial's parameters are asked of the sampler before a worker takes it.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.words import duration
from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.optuna_private import (
    StudyOfTrials,
    asked_in_memory,
    create_trial,
    storage_of,
    study_id,
    trial_id,
)
from gridsearch.search.budget import Budget
from gridsearch.search.evaluate import copy_result
from gridsearch.search.parameters import parameters_of, suggest, tidied
from gridsearch.search.samplers.by_name import grid, sampler_of, window_sampler
from gridsearch.search.workers.look import Leader

AHEAD = 4  # a trial waits for every so many that are running, so that no worker waits for the sampler
MOST_LEARNT = 1000  # ended trials that TPE learns from; more take time and change little
BEST_LEARNT = 100  # of these, the best: TPE compares its best 25 with the others

PROPOSING = 10.0  # seconds of a look for proposals, at most: dead workers and ended trials wait meanwhile

Key = tuple[tuple[str, Any], ...]  # the parameters of a trial


def enqueue_missing(study: optuna.Study, experiment: Experiment) -> None:
    """Queue the points of the grid that no trial has completed or will; withdraw what left the grid."""
    points = [tidied(point) for point in grid(experiment)]
    taken, failed = [], []
    for trial in study.get_trials(deepcopy=False):
        if trial.state in store.UNFINISHED and parameters_of(trial) not in points:
            # `Study.tell` takes running trials only
            storage = storage_of(study)
            storage.set_trial_user_attr(trial_id(trial), store.REASON, "no longer asked for")
            storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
        elif trial.state in (*store.ENDED, *store.UNFINISHED):
            taken.append(parameters_of(trial))
        elif store.batch_count(trial):
            failed.append(trial)
    for point in grid(experiment):
        if tidied(point) not in taken:
            # what a failed trial had rendered before it failed need not be rendered again
            rendered = next((trial for trial in failed if parameters_of(trial) == tidied(point)), None)
            study.enqueue_trial(point, user_attrs=store.batches_of(rendered) if rendered else None)


def why_done(
    study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial], narrow: str | None
) -> str | None:
    """Return why the search needs no further trial; None while it does, or while trials are unfinished.

    `narrow` is why what has ended is enough, if it is.
    """
    settings = experiment.search
    if any(trial.state in store.UNFINISHED for trial in trials):
        return None
    if settings.sampler == "grid":
        return "every point of the grid is done"
    ended = sum(trial.state in store.ENDED for trial in trials)
    if settings.trials is not None and ended >= settings.trials:
        return f"{ended} trials are done"
    if settings.sampler == "window" and window_sampler(experiment, study).done(study):
        return "the window and the best in it are found, as closely as steps and prompts allow"
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
                trial = ask_parameters(study, leader.experiment, trial, study.get_trials(deepcopy=False))
                _place(leader, trial, alike(study.get_trials(deepcopy=False)))
            else:
                queue.put_back(study, trial)
    _hold_copies(leader)


def _hold_copies(leader: Leader) -> None:
    """Hold the trials that wait for nothing but the images of another with the same parameters.

    They were copies before the run was given more prompts.
    """
    study, storage = leader.study, storage_of(leader.study)
    trials = study.get_trials(deepcopy=False)
    keys = {trial.number: _key(trial) for trial in trials}
    known = {keys[trial.number] for trial in trials if trial.state in store.ENDED}
    for trial in trials:
        if trial.state not in store.UNFINISHED:
            continue
        key = keys[trial.number]
        if trial.state == TrialState.WAITING and not store.batch_count(trial) and key in known:
            storage.set_trial_state_values(trial_id(trial), TrialState.RUNNING)
            ask_parameters(study, leader.experiment, storage.get_trial(trial_id(trial)), trials)
            leader.held.add(trial.number)
        known.add(key)


def fill_queue(leader: Leader, trials: list[FrozenTrial], budget: Budget, proposing: bool) -> bool:
    """Have as many trials wait as are wanted soon, new ones if `proposing`; returns whether any may start."""
    study = leader.study
    held = [trial for trial in trials if trial.number in leader.held]
    if held:
        same = alike(trials, leader.keys)
        for trial in held:
            _place(leader, trial, same)
        trials = study.get_trials(deepcopy=False)
    most = budget.startable(trials)
    waiting = sum(trial.state == TrialState.WAITING for trial in trials)
    running = sum(t.state == TrialState.RUNNING and t.number not in leader.held for t in trials)
    idle = max(leader.leases.idle(), leader.crew.size - running)
    enough = depth(running, idle, leader.experiment.search.kind.learns)
    enough = enough if most is None else min(enough, most)
    if waiting < enough and proposing and (slow := _propose_some(leader, trials, enough - waiting)):
        _tell_slow(leader, slow, budget.expected(trials), idle + running)
    if (pause := queue.pause_for(idle + running)) != leader.pause:
        queue.give_orders(study, pause=pause)
        leader.pause = pause
    # those below a number may be taken: as many as are wanted
    free = [trial.number for trial in trials if trial.state == TrialState.WAITING][:enough]
    if (below := free[-1] + 1 if free else 0) != leader.released:
        queue.give_orders(study, released=below)
        leader.released = below
    return most is None or most > 0


def _propose_some(leader: Leader, trials: list[FrozenTrial], count: int) -> float | None:
    """Have so many more trials wait, as far as they are wanted; `trials` grows by all that are proposed.

    Where there was no time for all of them, returns how many seconds each took.
    """
    study, placed, known, began = leader.study, 0, len(trials), time.monotonic()
    same, learnt = alike(trials, leader.keys), learnt_from(leader.experiment, trials)
    while placed < count and wanted(study, leader.experiment, trials):
        if placed and (took := time.monotonic() - began) > PROPOSING:
            return took / (len(trials) - known)
        new = propose(study, leader.experiment, learnt, len(trials))
        waits = _place(leader, new, same)
        placed += waits
        stored = storage_of(study)
        new = store.copied(new, state=TrialState.WAITING) if waits else stored.get_trial(trial_id(new))
        same[_key(new)].append(new)
        trials.append(new)
        learnt.append(_as_running(new))
    return None


def _tell_slow(leader: Leader, proposal: float, drawing: float, workers: int) -> None:
    """Say once, of a proposal's and a trial's seconds, how many workers they are enough for, if too few."""
    fed = max(1, int(drawing / proposal))
    if not leader.told_slow and fed < workers:
        leader.told_slow = True
        leader.listener.note(
            f'The sampler "{leader.experiment.search.sampler}" takes {proposal:.2g} s for a proposal here. '
            f"With trials of {duration(drawing)} that is enough for {fed} of {workers} workers; the others "
            'wait. For all of them use the sampler "tpe", "cmaes" or "random" in a study of its own.'
        )


def _place(leader: Leader, trial: FrozenTrial, same: Mapping[Key, Sequence[FrozenTrial]]) -> bool:
    """Put a proposal into the queue, unless another trial has the same parameters.

    The result of one that has ended is copied. While one is unfinished, this one is held, and placed later.
    """
    twin = twin_of(trial, same)
    leader.held.add(trial.number)
    if twin is not None and twin.state in store.UNFINISHED:
        return False
    leader.held.discard(trial.number)
    if twin is None:
        return queue.put_back(leader.study, trial)
    own, objectives = optuna.Trial(leader.study, trial_id(trial)), leader.experiment.search.kind.goals
    copy_result(leader.study, own, twin, len(leader.order), objectives)
    return False


def depth(running: int, idle: int, learns: bool) -> int:
    """Return how many trials should wait, so that no worker does: one for each that is idle, or soon will be.

    A trial that waits was asked for without the results of those that are running: no more than needed where
    the sampler learns from them; otherwise one for each that is running.
    """
    return max(1 + running // (AHEAD if learns else 1), idle)


def _seen(study: optuna.Study, sampler: BaseSampler, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return the study as a look has found it."""
    return StudyOfTrials(study, sampler, [*map(_as_running, trials)])


def _as_running(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that waits with its parameters given as running: so samplers take account of it."""
    waits = trial.state == TrialState.WAITING and trial.params
    return store.copied(trial, state=TrialState.RUNNING) if waits else trial


def learnt_from(experiment: Experiment, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that the sampler sees: of very many TPE sees the best, and others evenly."""
    seen = [*map(_as_running, trials)]
    ended = [trial for trial in seen if trial.state in store.ENDED]
    if experiment.search.sampler != "tpe" or len(ended) <= MOST_LEARNT:
        return seen
    ended.sort(key=lambda one: (one.state == TrialState.PRUNED, inf if one.value is None else one.value))
    others = ended[BEST_LEARNT:]
    count = MOST_LEARNT - BEST_LEARNT
    kept = ended[:BEST_LEARNT] + [others[i * len(others) // count] for i in range(count)]
    numbers = {trial.number for trial in kept}
    return [trial for trial in seen if trial.state not in store.ENDED or trial.number in numbers]


def propose(
    study: optuna.Study, experiment: Experiment, trials: Sequence[FrozenTrial], number: int
) -> FrozenTrial:
    """Create a trial of this number beside these, and ask for its parameters: see `learnt_from`.

    It is running until it is queued.
    """
    storage = storage_of(study)
    if len(experiment.search.kind.goals) > 1:  # NSGA-II keeps its generations in the study
        new = storage.get_trial(storage.create_new_trial(study_id(study)))
        return ask_parameters(study, experiment, new, [*trials, new])
    asked = asked_in_memory(study, sampler_of(experiment, number, study), trials, number)
    suggest(asked, experiment)
    return create_trial(study, asked)


def ask_parameters(
    study: optuna.Study, experiment: Experiment, trial: FrozenTrial, trials: Sequence[FrozenTrial]
) -> FrozenTrial:
    """Return one of these trials with all its parameters; those that it lacks are asked for now."""
    asked = optuna.Trial(_seen(study, sampler_of(experiment, trial.number, study), trials), trial_id(trial))
    suggest(asked, experiment)
    return storage_of(study).get_trial(trial_id(trial))  # with what the sampler has written to it


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
    sampler = window_sampler(experiment, study)
    return not sampler.done(_seen(study, sampler, trials))


def alike(trials: Sequence[FrozenTrial], known: dict[int, Key] | None = None) -> dict[Key, list[FrozenTrial]]:
    """Return the trials by their parameters; `known` remembers those of trials that have ended."""
    found: dict[Key, list[FrozenTrial]] = defaultdict(list)
    known = {} if known is None else known
    for trial in trials:
        key = known.get(trial.number) or _key(trial)
        if trial.state.is_finished():
            known[trial.number] = key
        found[key].append(trial)
    return found


def twin_of(trial: FrozenTrial, same: Mapping[Key, Sequence[FrozenTrial]]) -> FrozenTrial | None:
    """Return a trial with the same parameters that has ended, or else one earlier in the queue.

    None where there is none, and for a trial that has images of its own already.
    """
    if store.batch_count(trial):
        return None
    others = [other for other in same.get(_key(trial), ()) if other.number != trial.number]
    ended = [other for other in others if other.state in store.ENDED]
    before = [o for o in others if o.state in store.UNFINISHED and o.number < trial.number]
    return next(iter(ended + before), None)


def _key(trial: FrozenTrial) -> Key:
    return tuple(sorted(parameters_of(trial).items()))
