"""The evaluation of one trial: take its images as they come, record them, prune it where it cannot win."""

import contextlib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import case_of, prompt_of
from gridsearch.results import store
from gridsearch.results.shared.optuna_private import frozen
from gridsearch.search.parameters import suggest
from gridsearch.search.racing import LAST_STEP, NEVER_BEST, Racing, best_complete_trial, losses_by_step
from gridsearch.search.trial.outcome import Batch, Outcome

# Renders the cases of a trial: its number, its parameters, the ids of those stored or not wanted yet.
RenderCases = Callable[[int, Mapping[str, Any], Collection[str]], Generator[Batch]]


class Ends(Protocol):
    """A rule that may end a trial before its last image, as `Racing` is."""

    def next_look(self, drawn: int, sound: int) -> int:
        """Return how many images there are when the trial can next be decided."""
        ...

    def reason(self, study: optuna.Study, trial: FrozenTrial) -> str | None:
        """Return why the trial should end; None where it should not."""
        ...


@dataclass(frozen=True)
class Told:
    """A trial that ended: its outcome or its error; `stopped` is why it was pruned."""

    number: int
    parameters: dict[str, Any]
    outcome: Outcome | GridsearchError
    stopped: str | None = None


def evaluate_trial(
    study: optuna.Study,
    trial: optuna.Trial,
    experiment: Experiment,
    order: Sequence[str],
    render: RenderCases,
) -> None:
    """Render what a trial still lacks of the cases with these ids, and tell the study the result."""
    parameters, search = suggest(trial, experiment), experiment.search
    prompts = [prompt_of(case) for case in order]
    said = frozen(trial).user_attrs
    of_edges = search.sampler == "window", said.get(store.GLANCE, 0), said.get(store.EDGE, False)
    racing = Racing(prompts, *of_edges) if search.races() else None
    outcome, stopped = render_cases(study, trial, parameters, order, render, racing)
    _tell(study, trial, outcome, stopped, search.kind.goals)


@contextlib.contextmanager
def failures_recorded(study: optuna.Study, trial: optuna.Trial) -> Iterator[None]:
    """End a trial as failed where an error is its own; one that stops the run leaves it as it is."""
    try:
        yield
    except MustStop:
        raise
    except RunFailed as error:
        store.fail(study, trial, error.lines[0], error.kind)


def render_cases(
    study: optuna.Study,
    trial: optuna.Trial,
    parameters: Mapping[str, Any],
    order: Sequence[str],
    render: RenderCases,
    ends: Ends | None = None,
) -> tuple[Outcome, str | None]:
    """Render the cases of the order that a trial still lacks, and record every batch.

    Returns its outcome, and why it was pruned, which is asked of `ends` after every batch; None where not.
    """
    # `frozen` is up to date: nobody else writes to the trial
    rows, batches = store.images_of(frozen(trial)), store.batch_count(frozen(trial))
    was_complete = store.WAS_COMPLETE in frozen(trial).user_attrs  # and has grown since: never pruned again

    def reason_to_stop() -> str | None:
        if ends is None or was_complete or not 0 < len(rows) < len(order):
            return None
        return ends.reason(study, frozen(trial))

    raced = isinstance(ends, Racing)  # then it is compared with other trials, by its images' losses
    if raced:
        for step, loss in losses_by_step(rows, order).items():
            if step not in frozen(trial).intermediate_values:  # it was stored by an earlier version
                trial.report(loss, step)
    stopped = reason_to_stop()
    while stopped is None and len(rows) < len(order):
        sound = sum(row["verdict"] == "ok" for row in rows)
        end = ends.next_look(len(rows), sound) if ends else len(order)
        others = {case_of(row) for row in rows} | set(order[end:])
        with contextlib.closing(render(trial.number, parameters, others)) as drawing:
            for batch in drawing:
                losses = losses_by_step(batch.rows, order) if raced else {}
                store.record_batch(trial, batches, batch.rows, batch.seconds, losses)
                batches, rows = batches + 1, rows + batch.rows
                if stopped := reason_to_stop():
                    break
    return Outcome(rows, store.seconds_of(frozen(trial)), len(order)), stopped


def _tell(
    study: optuna.Study, trial: optuna.Trial, outcome: Outcome, stopped: str | None, objectives: Sequence[str]
) -> None:
    trial.set_user_attr(store.SUMMARY, outcome.summary())
    if stopped is None:
        study.tell(trial, outcome.values(objectives))
        return
    trial.set_user_attr(store.REASON, stopped)
    # Optuna takes the last report for a pruned trial's value
    best = best_complete_trial(study)
    least = ((best.value if best else None) or 0.0) + NEVER_BEST
    trial.report(max(outcome.value, least), LAST_STEP)
    study.tell(trial, state=TrialState.PRUNED)


def copy_result(
    study: optuna.Study, trial: optuna.Trial, twin: FrozenTrial, cases: int, objectives: Sequence[str]
) -> None:
    """End a trial of so many cases with the images of another that has the same parameters, at no cost."""
    rows, nothing = store.images_of(twin), dict.fromkeys(store.seconds_of(twin), 0.0)
    store.record_batch(trial, 0, rows, nothing)
    _tell(study, trial, Outcome(rows, nothing, cases), twin.user_attrs.get(store.REASON), objectives)
