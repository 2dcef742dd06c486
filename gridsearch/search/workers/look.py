"""The leader's view of a study: looked at again and again, with whatever dead workers held given back.

Of which worker holds a trial, and which have fallen silent, only the leader's own clock decides.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import MustStop
from gridsearch.base.machine import has_ended
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.render.cases import Case
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.optuna_private import storage_of, trial_id
from gridsearch.search.listener import Listener, WorkerState
from gridsearch.search.trial.failures import DIED, require_free

SOONEST, LATEST = 0.2, 5.0  # seconds from look to look
BUSY = 4  # times as long as a look computes: a large study leaves its database to its workers
_DEATHS = "deaths"  # of a trial: how often its worker died since its last image, and how many batches it had


class Crew(Protocol):
    """The workers of a run on this machine: processes of their own, or this process."""

    size: int  # the number of workers
    here: bool  # whether it is the leader's own process, which tells the listener of each image itself

    def look(self, heard: Collection[str]) -> list[str]:
        """Return the names of the workers that died since the last look; others take their places.

        `heard` are the names of those that have taken a trial. Raises RunFailed where no worker is left.
        """

    def wait(self, seconds: float) -> None:
        """Pass the time until the leader's next look."""

    def stop(self) -> None:
        """End the workers, and wait until they have ended."""


@dataclass
class InProcess:
    """A crew of one, in the leader's own process: it works while the leader waits."""

    work: Callable[[], bool]  # take a trial that waits and evaluate it; returns whether there was one
    size: int = 1
    here: bool = True

    def look(self, heard: Collection[str]) -> list[str]:
        return []

    def wait(self, seconds: float) -> None:
        if not self.work():
            time.sleep(seconds)

    def stop(self) -> None:
        pass


@dataclass
class Heard:
    """The last lease seen on a trial."""

    lease: queue.Lease | None
    since: float
    alive: bool  # whether it changed while this process looked


@dataclass
class Leases:
    """The running trials of a study, and when their workers were last heard of."""

    silence: float  # seconds after which a worker is taken for dead
    retries: int  # how often a trial goes back to the queue for it
    clock: Callable[[], float] = time.monotonic
    heard: dict[int, Heard] = field(default_factory=dict)
    workers: dict[str, float] = field(default_factory=dict)  # when each was last seen to hold a trial
    listened: bool = False

    def lost(self, trials: Sequence[FrozenTrial], dead: Collection[str]) -> list[FrozenTrial]:
        """Return the running trials whose worker is one of the dead, or has not been heard of for long."""
        now, lost = self.clock(), []
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                continue
            lease, known = queue.lease_of(trial), self.heard.get(trial_id(trial))
            if lease is not None:
                self.workers[lease.worker] = now
            if known is None or known.lease != lease:
                known = self.heard[trial_id(trial)] = Heard(lease, now, alive=self.listened)
            worker = lease.worker if lease else ""
            if worker in dead or has_ended(worker) or now - known.since > self.silence:
                lost.append(trial)
        self.listened = True
        return lost

    def holders(self, trials: Sequence[FrozenTrial]) -> list[WorkerState]:
        """Return the workers that hold one of these trials, by the leader's own clock."""
        now, found = self.clock(), []
        for trial in trials:
            lease, heard = queue.lease_of(trial), self.heard.get(trial_id(trial))
            if trial.state == TrialState.RUNNING and lease and heard:
                images = len(store.images_of(trial))
                found.append(WorkerState(lease.worker, trial.number, images, now - heard.since))
        return found

    def idle(self) -> int:
        """Count the workers that have let go of a trial just now, and hold no other."""
        now = self.clock()
        return sum(0 < now - last < self.silence for last in self.workers.values())

    def give_back(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Let a lost trial wait again; one that has lost its workers too often fails.

        Not to blame for a death is a trial that has new images since the last one, nor one that was lost
        before anybody listened: a power cut takes all. One that ended just before its worker did stays ended.
        """
        blame = self.heard.pop(trial_id(trial)).alive
        storage = storage_of(study)
        if storage.get_trial(trial_id(trial)).state.is_finished():
            return
        batches = store.batch_count(trial)
        said = trial.system_attrs.get(_DEATHS, {"rungs": batches, "count": 0})
        count = (said["count"] if said["rungs"] == batches else 0) + blame
        if count > self.retries:
            times = "time" if count == 1 else "times"
            reason = f"Its worker died {count} {times} while drawing it."
            store.fail(study, optuna.Trial(study, trial_id(trial)), reason, DIED)
            return
        with contextlib.suppress(UpdateFinishedTrialError):  # a worker that was only silent has just ended it
            storage.set_trial_system_attr(trial_id(trial), _DEATHS, {"rungs": batches, "count": count})
            queue.put_back(study, trial)


@dataclass
class Leader:
    """A study that is led, and the state that the leader keeps between two looks."""

    study: optuna.Study
    experiment: Experiment
    order: list[str]  # ids of the search's cases
    out: Path
    listener: Listener
    crew: Crew
    leases: Leases
    leads: Callable[[], bool]  # whether this process still leads the study
    pace: float = queue.USUAL_PACE  # seconds from beat to beat
    refused: dict[str, str] = field(default_factory=dict)  # why workers were, as far as that was told
    held: set[int] = field(default_factory=set)  # proposals that wait for a twin to end, by number
    keys: dict[int, tuple] = field(default_factory=dict)  # of ended trials, by number: parameters
    released: int = 0  # trials below this number may be taken
    pause: float = 0.0  # seconds that idle workers are told to wait between two looks
    told_slow: bool = False  # whether the user was told that the sampler is too slow for so many workers
    beats: int = 0  # how often the workers were told that a leader is alive
    last: float = field(default_factory=time.monotonic)  # when that was

    @property
    def cases(self) -> dict[str, Case]:
        """All cases of the experiment by id."""
        return {case.id: case for case in cases_of(self.experiment.prompt)}


def _tell_refusals(leader: Leader) -> None:
    for worker, why in queue.refusals(leader.study).items():
        if leader.refused.get(worker) != why:
            leader.refused[worker] = why
            leader.listener.note(f"The worker {worker} was refused: {why}")


def looks(leader: Leader, study: optuna.Study) -> Iterator[list[FrozenTrial]]:
    """Yield the trials of a study, again and again; between two looks the crew works."""
    while True:
        began, now = time.process_time(), time.monotonic()
        if not leader.leads():
            fix = "Leave it to that one; or stop that one and give the same command again."
            raise MustStop("Another run has taken over this study.", where=leader.out, fix=fix)
        if now - leader.last >= leader.pace:  # workers elsewhere give up on a run that has died
            leader.beats, leader.last = leader.beats + 1, now
            queue.give_orders(leader.study, leads=leader.beats)
            _tell_refusals(leader)
        require_free(leader.out, 0)
        dead = leader.crew.look(leader.leases.workers)
        trials = study.get_trials(deepcopy=False)
        held = leader.held if study is leader.study else ()
        lost = leader.leases.lost([trial for trial in trials if trial.number not in held], dead)
        for trial in lost:
            leader.leases.give_back(study, trial)
        if not leader.crew.here:
            leader.listener.workers(leader.leases.holders(trials))
        seen = study.get_trials(deepcopy=False) if lost else trials
        took = time.process_time() - began  # without proposals, for which workers may be waiting
        yield seen
        leader.crew.wait(min(LATEST, max(SOONEST, BUSY * took)))
