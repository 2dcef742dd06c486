"""Progress since the last look: what workers have rendered and ended, told to the run's listener."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, RunFailed
from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.score.score import Score, number
from gridsearch.search.parameters import parameters_of
from gridsearch.search.trial.outcome import Outcome
from gridsearch.search.trial.standard import metrics_of
from gridsearch.search.workers.look import Leader


@dataclass
class TrialProgress:
    """How much of a study's trials has been told to the listener.

    Attributes:
        role: "trial" or "check".
        images: how many images a trial has if nothing prunes it.
        on_end: called with each trial that has ended.
        told: trial's number -> how many of its images were told.
        ended: the trials that have ended since `begin`, in the order in which they did.
    """

    role: str
    leader: Leader
    images: Callable[[FrozenTrial], int]
    on_end: Callable[[FrozenTrial, Outcome | GridsearchError], None]
    told: dict[int, int] = field(default_factory=dict)
    ended: list[FrozenTrial] = field(default_factory=list)
    _over: set[int] = field(default_factory=set)

    def begin(self, trials: Sequence[FrozenTrial]) -> None:
        """Take what is there for told."""
        self._over = {trial.number for trial in trials if trial.state.is_finished()}
        self.told = {trial.number: len(store.images_of(trial)) for trial in trials}

    def tell(self, trials: Sequence[FrozenTrial]) -> None:
        """Tell the listener of new images and of trials that have ended."""
        fresh = [trial for trial in trials if trial.number not in self._over]
        if not self.leader.crew.here:
            self._tell_images(fresh)
        over = [trial for trial in fresh if trial.state.is_finished()]
        for trial in sorted(over, key=attrgetter("datetime_complete")):
            self._over.add(trial.number)
            self.ended.append(trial)
            self.on_end(trial, self._result_of(trial))
        if not self.leader.crew.here:
            running = [trial for trial in fresh if trial.state == TrialState.RUNNING]
            self.leader.listener.drawing_many(
                self.role,
                [parameters_of(trial) for trial in running],
                sum(self.told[trial.number] for trial in running),
                sum(map(self.images, running)),
            )

    def _tell_images(self, trials: Sequence[FrozenTrial]) -> None:
        cases = self.leader.cases
        for trial in trials:
            rows = store.images_of(trial)
            for row in rows[self.told.get(trial.number, 0) :]:
                judged = row["verdict"], row["reason"], row["defect"], number(row["dial"])
                self.leader.listener.image(cases[case_of(row)], Score(*judged, metrics_of(row)))
            self.told[trial.number] = len(rows)

    def _result_of(self, trial: FrozenTrial) -> Outcome | GridsearchError:
        if trial.state == TrialState.FAIL:
            return RunFailed(str(trial.user_attrs.get(store.REASON)), kind=store.kind_of(trial) or "other")
        return Outcome(store.images_of(trial), store.seconds_of(trial), self.images(trial))
