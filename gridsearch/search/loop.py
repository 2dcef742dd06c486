"""The search: ask, run, tell; stop within the budget, and resume where it was."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import BadInput, GridsearchError, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.search.racing.pruner import Racing, best_of
from gridsearch.search.racing.rungs import LAST_STEP, Evaluate, run_cases, stopped_value
from gridsearch.search.samplers.by_name import make_sampler
from gridsearch.search.samplers.space import grid, main_parameter, suggest
from gridsearch.search.samplers.window_sampler import WindowSampler
from gridsearch.search.trial.failures import require_some_luck
from gridsearch.search.trial.outcome import Outcome

RECENT = 5  # trials that say how long the next will take


@dataclass(frozen=True)
class Budget:
    """When to stop early.

    Attributes:
        trials: how many are to be complete, those stopped as hopeless among them.
        deadline: in `time.time()` seconds; a trial that would not finish by then is not begun.
        first: seconds that the first trial is expected to take.
    """

    trials: int | None = None
    deadline: float | None = None
    first: float = 0.0

    def allows(self, study: optuna.Study) -> bool:
        """Whether another trial may start: it must be wanted, and be likely to finish in time."""
        ended = study.get_trials(deepcopy=False, states=store.ENDED)
        if self.trials is not None and len(ended) >= self.trials:
            return False
        return self.may_start(study)

    def may_start(self, study: optuna.Study) -> bool:
        """Whether there is time for as many images as a trial has."""
        if self.deadline is None:
            return True
        ended = study.get_trials(deepcopy=False, states=store.ENDED)
        return time.time() + self.expected(ended) < self.deadline

    def expected(self, ended: Sequence[FrozenTrial]) -> float:
        """Seconds that the next trial takes, did nothing stop it."""
        whole = [trial for trial in ended if trial.state == TrialState.COMPLETE] or ended
        # Not the trials' own clocks: an interrupted one counts the hours until it was taken up again.
        durations = [seconds for trial in whole if (seconds := sum(store.seconds_of(trial).values()))]
        durations = durations[-RECENT:]  # copies, which took none, left out
        return sum(durations) / len(durations) if durations else self.first


@dataclass(frozen=True)
class Told:
    """A trial that ended: what it found, or why it failed; `stopped` says why it was not drawn to its end."""

    number: int
    parameters: dict[str, Any]
    outcome: Outcome | GridsearchError
    stopped: str | None = None


def search(
    study: optuna.Study,
    experiment: Experiment,
    order: Sequence[str],
    budget: Budget,
    evaluate: Evaluate,
    on_trial: Callable[[Told], None],
    enough: Callable[[], str | None] = lambda: None,
    make_room: Callable[[], None] = lambda: None,
) -> bool:
    """Run trials until the experiment or the budget is done; whether the search needs no further trial.

    A trial that a kill left behind goes on under its own number and with its own parameters, so a resumed
    study ends like an unbroken one. A trial that fails is told so, with its reason and no score; one that
    cannot win is stopped and keeps the images it has.

    Args:
        order: ids of the cases, as they are drawn.
        enough: why no further trial is needed, asked after each.
        make_room: called before each trial.

    Raises:
        RunFailed: several trials in a row failed of the same kind.
        MustStop: something is wrong that no other trial would be spared.
    """
    study.set_user_attr(store.DONE, None)
    racing = racing_of(experiment, order)
    ended: list[FrozenTrial] = []
    while (done := why_done(study, experiment, enough)) is None:
        if not budget.allows(study):
            return False
        make_room()
        trial = _next_trial(study, experiment)
        told = draw_trial(study, trial, experiment, order, racing, evaluate)
        on_trial(told)
        ended.append(study._storage.get_trial(trial._trial_id))
        require_some_luck(ended)
    study.set_user_attr(store.DONE, done)
    return True


def racing_of(experiment: Experiment, order: Sequence[str]) -> Racing | None:
    """What stops hopeless trials; None where every trial is drawn to its end."""
    edges = experiment.search.sampler == "window"
    return Racing(len(order), edges) if experiment.search.races() else None


def draw_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    experiment: Experiment,
    order: Sequence[str],
    racing: Racing | None,
    evaluate: Evaluate,
    copies: bool = True,
) -> Told:
    """Draw what a trial is still missing, and tell the study what it came to.

    Args:
        copies: whether it may be alike to one that has ended, whose images it then takes.

    Raises:
        MustStop: no trial could go better now. This one stays as it is.
    """
    parameters = suggest(trial, experiment)
    try:
        twin = _twin(study, trial, parameters) if copies else None
        if twin is None:
            outcome, stopped = run_cases(study, trial, parameters, order, racing, evaluate)
        else:
            outcome, stopped = _copied(trial, twin, len(order))
    except MustStop:
        raise
    except RunFailed as error:
        store.fail(study, trial, error.lines[0], error.kind)
        return Told(trial.number, parameters, error)
    _tell(study, trial, outcome, stopped, experiment.search.objectives())
    return Told(trial.number, parameters, outcome, stopped)


def _tell(
    study: optuna.Study,
    trial: optuna.Trial,
    outcome: Outcome,
    stopped: str | None,
    objectives: Sequence[str],
) -> None:
    trial.set_user_attr(store.SUMMARY, outcome.summary())
    if stopped is None:
        study.tell(trial, outcome.values(objectives))
        return
    trial.set_user_attr(store.REASON, stopped)
    # Optuna takes the last report for a pruned trial's value
    best = best_of(study)
    trial.report(stopped_value(outcome, best.value if best else 0.0), LAST_STEP)
    study.tell(trial, state=TrialState.PRUNED)


def why_done(study: optuna.Study, experiment: Experiment, enough: Callable[[], str | None]) -> str | None:
    """Why the search needs no further trial; None while it does."""
    settings = experiment.search
    trials = study.get_trials(deepcopy=False)
    if any(trial.state in store.UNFINISHED for trial in trials):
        return None
    if settings.sampler == "grid":
        return "every point of the grid is done"
    ended = sum(trial.state in store.ENDED for trial in trials)
    if settings.trials is not None and ended >= settings.trials:
        return f"{ended} trials are done"
    if settings.sampler == "window" and sampler_of(experiment, len(trials)).done(study):
        return "the window and the best in it are found, as closely as the steps allow"
    return enough() if ended else None


def _next_trial(study: optuna.Study, experiment: Experiment) -> optuna.Trial:
    """The trial to run now: an abandoned one first, then an enqueued one, then what the sampler asks for."""
    trials = study.get_trials(deepcopy=False)
    unfinished = [trial for trial in trials if trial.state in store.UNFINISHED]
    abandoned = next((trial for trial in unfinished if trial.state == TrialState.RUNNING), None)
    number = abandoned.number if abandoned else unfinished[0].number if unfinished else len(trials)
    study.sampler = sampler_of(experiment, number)
    return optuna.Trial(study, abandoned._trial_id) if abandoned else study.ask()


def sampler_of(experiment: Experiment, number: int) -> BaseSampler:
    """The sampler for the trial of this number."""
    settings = experiment.search
    if settings.sampler == "window":
        return WindowSampler(main_parameter(experiment), seed=settings.seed)
    return make_sampler(settings.sampler, settings.seed, number, settings.trials)


def enqueue_missing(study: optuna.Study, experiment: Experiment) -> None:
    """Queue the points of the grid that no trial has completed or will; withdraw what left the grid."""
    points = [tidied(point) for point in grid(experiment)]
    taken, failed = [], []
    for trial in study.get_trials(deepcopy=False):
        if trial.state in store.UNFINISHED and parameters_of(trial) not in points:
            withdraw(study, trial)
        elif trial.state in (*store.ENDED, *store.UNFINISHED):
            taken.append(parameters_of(trial))
        elif store.rungs_of(trial):
            failed.append(trial)
    for point in grid(experiment):
        if tidied(point) not in taken:
            # what a failed trial had drawn before it failed need not be drawn again
            drawn = next((trial for trial in failed if parameters_of(trial) == tidied(point)), None)
            study.enqueue_trial(point, user_attrs=drawn and store.rungs(drawn))


def withdraw(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial that the experiment no longer asks for. `Study.tell` takes running trials only."""
    study._storage.set_trial_user_attr(trial._trial_id, store.REASON, "no longer asked for")
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def _twin(study: optuna.Study, trial: optuna.Trial, parameters: Mapping[str, Any]) -> FrozenTrial | None:
    """An ended trial with the same parameters, which drew what this one, without an image yet, would draw."""
    if store.rungs_of(trial._cached_frozen_trial):
        return None
    ended = study.get_trials(deepcopy=False, states=store.ENDED)
    return next((one for one in ended if parameters_of(one) == tidied(parameters)), None)


def _copied(trial: optuna.Trial, twin: FrozenTrial, cases: int) -> tuple[Outcome, str | None]:
    """The twin's images as this trial's, at no cost; stopped where that was."""
    rows, nothing = store.images_of(twin), dict.fromkeys(store.seconds_of(twin), 0.0)
    store.record_rung(trial, 0, rows, nothing)
    return Outcome(rows, nothing, cases), twin.user_attrs.get(store.REASON)


def end_as(
    study: optuna.Study, trial: optuna.Trial, twin: FrozenTrial, cases: int, objectives: Sequence[str]
) -> None:
    """End a trial as another with the same parameters has ended, whose images are its own."""
    _tell(study, trial, *_copied(trial, twin, cases), objectives)


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters; those that it has not asked for yet are only its fixed ones."""
    return tidied(trial.system_attrs.get("fixed_params", {}) | trial.params)


def tidied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: store.tidy(value) for name, value in parameters.items()}


def deadline(hours: float | None, until: str | None) -> float | None:
    """The earlier of both limits, in `time.time()` seconds."""
    limits = []
    if hours is not None:
        limits.append(time.time() + hours * 3600)
    if until is not None:
        try:
            clock = datetime.strptime(until, "%H:%M")
        except ValueError:
            raise BadInput(
                f"{until!r} is no time of day.", where="--until", fix="Write it as 07:30."
            ) from None
        now = datetime.now()
        end = now.replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
        limits.append((end if end > now else end + timedelta(days=1)).timestamp())
    return min(limits, default=None)
