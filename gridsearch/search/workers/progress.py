"""What workers have done since the last look, told as if it were done here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, RunFailed
from gridsearch.render.cases import Case, case_of
from gridsearch.results import store
from gridsearch.score.score import Score, number
from gridsearch.search.listener import Listener
from gridsearch.search.loop import parameters_of
from gridsearch.search.trial.outcome import Outcome
from gridsearch.search.trial.references import metrics_of

Ended = Callable[[FrozenTrial, Outcome | GridsearchError], None]


@dataclass(frozen=True)
class DrawnElsewhere:
    """A reference that a worker has drawn."""

    case: Case
    seconds: float


@dataclass
class News:
    """What was told already of the trials of a study.

    Attributes:
        role: "trial" or "check".
        cases: by id.
        images: of a trial, where nothing stops it.
        on_end: told of each trial that has ended.
        ended: the trials that have, in the order in which they did.
    """

    role: str
    listener: Listener
    cases: Mapping[str, Case]
    images: Callable[[FrozenTrial], int]
    on_end: Ended
    told: dict[int, int] = field(default_factory=dict)  # trial's number -> its images
    ended: list[FrozenTrial] = field(default_factory=list)

    def begin(self, trials: Sequence[FrozenTrial]) -> None:
        """What was before is no news."""
        self._over = {trial.number for trial in trials if trial.state.is_finished()}
        self.told = {trial.number: len(store.images_of(trial)) for trial in trials}

    def tell(self, trials: Sequence[FrozenTrial]) -> None:
        """Tell the images and the ends that are new."""
        fresh = [trial for trial in trials if trial.number not in self._over]
        for trial in fresh:
            rows = store.images_of(trial)
            for row in rows[self.told.get(trial.number, 0) :]:
                self.listener.image(self.cases[case_of(row)], score_of(row))
            self.told[trial.number] = len(rows)
        over = [trial for trial in fresh if trial.state.is_finished()]
        for trial in sorted(over, key=lambda trial: trial.datetime_complete):
            self._over.add(trial.number)
            self.ended.append(trial)
            self.on_end(trial, found_by(trial, self.images(trial)))
        running = [trial for trial in fresh if trial.state == TrialState.RUNNING]
        self.listener.drawing_many(
            self.role,
            [parameters_of(trial) for trial in running],
            sum(self.told[trial.number] for trial in running),
            sum(map(self.images, running)),
        )


def found_by(trial: FrozenTrial, cases: int) -> Outcome | GridsearchError:
    """What a trial that has ended came to."""
    if trial.state == TrialState.FAIL:
        return RunFailed(str(trial.user_attrs.get(store.REASON)), kind=store.kind_of(trial) or "other")
    return Outcome(store.images_of(trial), store.seconds_of(trial), cases)


def score_of(row: Mapping) -> Score:
    """What was thought of a stored image."""
    return Score(
        verdict=row["verdict"],
        defect=row["defect"],
        dial=number(row["dial"]),
        reason=row["reason"],
        metrics=metrics_of(row),
    )
