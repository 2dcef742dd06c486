"""The budget of a run: a number of trials, or a time by which its last trial must have ended."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import BadInput
from gridsearch.results import store

RECENT_TRIALS = 5  # whose durations predict the next one's


@dataclass(frozen=True)
class Budget:
    """The limits of a run."""

    trials: int | None = None  # that are to end, pruned ones among them; None for no limit
    deadline: float | None = None  # in `time.time()` seconds; a trial that would end later is not started
    first: float = 0.0  # expected seconds of the first trial

    def startable(self, trials: Sequence[FrozenTrial]) -> int | None:
        """Return how many of a study's trials may still start; None for any number."""
        if not self.has_time(trials):
            return 0
        if self.trials is None:
            return None
        started = sum(trial.state in (*store.ENDED, TrialState.RUNNING) for trial in trials)
        return max(self.trials - started, 0)

    def has_time(self, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether one more trial would end before the deadline."""
        return self.deadline is None or time.time() + self.expected(trials) < self.deadline

    def expected(self, trials: Sequence[FrozenTrial]) -> float:
        """Return the expected seconds of the next trial, if nothing prunes it."""
        ended = [trial for trial in trials if trial.state in store.ENDED]
        whole = [trial for trial in ended if trial.state == TrialState.COMPLETE] or ended
        # Not the trials' own clocks: an interrupted one counts the hours until it was taken up again.
        # Copies of another trial took no time and are left out.
        durations = [seconds for trial in whole if (seconds := sum(store.seconds_of(trial).values()))]
        durations = durations[-RECENT_TRIALS:]
        return sum(durations) / len(durations) if durations else self.first


def deadline(hours: float | None, until: str | None) -> float | None:
    """Return the earlier of both limits in `time.time()` seconds; None where neither is given.

    Raises:
        BadInput: `until` is not a time of day, HH:MM.
    """
    limits = []
    if hours is not None:
        limits.append(time.time() + hours * 3600)
    if until is not None:
        try:
            clock = datetime.datetime.strptime(until, "%H:%M").time()
        except ValueError:
            what = f"{until!r} is not a time of day."
            raise BadInput(what, where="--until", fix="Write it as 07:30.") from None
        limits.append(_next(clock))
    return min(limits, default=None)


def _next(clock: datetime.time) -> float:
    """Return when this machine's clocks next show a time of day, in `time.time()` seconds.

    An hour that comes twice in autumn is met at its first time that is still to come. In spring an hour is
    left out: what lies in it is as long after the change as it would have been after the hour's beginning.
    """
    now = time.time()
    today = datetime.datetime.fromtimestamp(now).date()
    for day in (today, today + datetime.timedelta(days=1)):
        shown = datetime.datetime.combine(day, clock)
        times = {shown.replace(fold=fold).timestamp() for fold in (0, 1)}
        there = {one for one in times if datetime.datetime.fromtimestamp(one).time() == clock} or {max(times)}
        if later := [one for one in there if one > now]:
            return min(later)
    raise AssertionError  # tomorrow's is later than now
