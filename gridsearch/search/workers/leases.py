"""The leases on running trials: which worker holds each, and which workers have fallen silent.

Only the leader's own clock counts.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.machine import has_ended
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.shared.optuna_private import storage_of, trial_id
from gridsearch.search.trial.failures import DIED, RETRIES

_DEATHS = "deaths"  # of a trial: how often its worker died since its last image, and how many batches it had


@dataclass
class Heard:
    """The last lease seen on a trial, and when; `alive` is whether it changed while this process looked."""

    lease: queue.Lease | None
    since: float
    alive: bool


@dataclass
class Leases:
    """The running trials of a study, and when their workers were last heard of.

    Attributes:
        silence: seconds after which a worker is taken for dead.
        retries: how often a trial goes back to the queue for it.
        workers: all that ever held one, by name, and when they were last seen to.
    """

    silence: float
    retries: int = RETRIES
    clock: Callable[[], float] = time.monotonic
    heard: dict[int, Heard] = field(default_factory=dict)
    workers: dict[str, float] = field(default_factory=dict)
    listened: bool = False

    def lost(self, trials: Sequence[FrozenTrial], dead: Collection[str]) -> list[FrozenTrial]:
        """Return the running trials whose worker is one of the dead, or has not been heard of for long."""
        now = self.clock()
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        for trial in running:
            lease, known = queue.lease_of(trial), self.heard.get(trial_id(trial))
            if lease is not None:
                self.workers[lease.worker] = now
            if known is None or known.lease != lease:
                self.heard[trial_id(trial)] = Heard(lease, now, alive=self.listened)
        self.listened = True
        return [trial for trial in running if self._is_lost(trial, dead, now)]

    def idle(self) -> int:
        """Count the workers that have let go of a trial just now, and hold no other."""
        now = self.clock()
        return sum(0 < now - last < self.silence for last in self.workers.values())

    def _is_lost(self, trial: FrozenTrial, dead: Collection[str], now: float) -> bool:
        known = self.heard[trial_id(trial)]
        worker = known.lease.worker if known.lease else ""
        return worker in dead or has_ended(worker) or now - known.since > self.silence

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
