"""The leader's view of a study: looked at again and again, with whatever dead workers held given back."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from gridsearch.base.errors import MustStop
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.render.cases import Case
from gridsearch.results.shared import queue
from gridsearch.search.listener import Listener
from gridsearch.search.trial.failures import require_free
from gridsearch.search.workers.crew import Crew
from gridsearch.search.workers.leases import Leases

SOONEST, LATEST = 0.2, 5.0  # seconds from look to look
BUSY = 4  # times as long as a look computes: a large study leaves its database to its workers


@dataclass
class Leader:
    """A study that is led, and the state that the leader keeps between two looks.

    Attributes:
        order: ids of the search's cases.
        leads: says whether this process still leads the study.
        pace: seconds from beat to beat.
        held: numbers of proposals that wait for another trial with the same parameters to end.
        released: trials below this number may be taken.
        pause: seconds that idle workers are told to wait between two looks.
        beats, last: how often, and when last, the workers were told that a leader is alive.
    """

    study: optuna.Study
    experiment: Experiment
    order: list[str]
    out: Path
    listener: Listener
    crew: Crew
    leases: Leases
    leads: Callable[[], bool]
    pace: float = queue.USUAL_PACE
    held: set[int] = field(default_factory=set)
    released: int = 0
    pause: float = 0.0
    beats: int = 0
    last: float = field(default_factory=time.monotonic)

    @property
    def cases(self) -> dict[str, Case]:
        """All cases of the experiment by id."""
        return {case.id: case for case in cases_of(self.experiment.prompt)}


def looks(leader: Leader, study: optuna.Study) -> Iterator[list[FrozenTrial]]:
    """Yield the trials of a study, again and again; between two looks the crew works."""
    while True:
        began = time.process_time()
        _say_alive(leader, time.monotonic())
        require_free(leader.out, 0)
        dead = leader.crew.look(leader.leases.workers)
        trials = study.get_trials(deepcopy=False)
        held = leader.held if study is leader.study else ()
        lost = leader.leases.lost([trial for trial in trials if trial.number not in held], dead)
        for trial in lost:
            leader.leases.give_back(study, trial)
        yield study.get_trials(deepcopy=False) if lost else trials
        leader.crew.wait(min(LATEST, max(SOONEST, BUSY * (time.process_time() - began))))


def _say_alive(leader: Leader, now: float) -> None:
    """Tell workers elsewhere that this run goes on: they give up on one that has died.

    Raises:
        MustStop: another run leads the study.
    """
    if not leader.leads():
        raise MustStop(
            "Another run has taken over this study.",
            where=leader.out,
            fix="Leave it to that one; or stop that one and give the same command again.",
        )
    if now - leader.last >= leader.pace:
        leader.beats, leader.last = leader.beats + 1, now
        queue.give_orders(leader.study, leads=leader.beats)
