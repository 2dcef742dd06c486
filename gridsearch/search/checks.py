"""What is drawn once the search is done, to check it: the leaders on prompts that had no say, the best again.

They lie in a study of their own beside the search's, so that no sampler learns from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import Case, case_of
from gridsearch.results import store
from gridsearch.results.analysis import identical
from gridsearch.results.analysis.trials import drawn_with, made_of
from gridsearch.results.store import tidy
from gridsearch.search.loop import Told, parameters_of
from gridsearch.search.racing.rungs import Evaluate, run_cases
from gridsearch.search.stop import leaders
from gridsearch.search.trial.outcome import Outcome

HELD_OUT, REPEAT = "held_out", "repeat"
ROLE, OF, PARAMETERS = "role", "of", "parameters"  # attributes of a check's trial


@dataclass(frozen=True)
class Check:
    """One more rendering of a trial: on the held-out prompts, or of what it was itself."""

    role: str
    trial: int


def wanted_checks(leaders: Sequence[int], held_out: bool, known: Sequence[FrozenTrial]) -> list[Check]:
    """What is still to be drawn.

    Args:
        leaders: numbers of the trials that may be the best, the best first.
        held_out: whether there are held-out prompts.
        known: the checks so far; one that failed is tried again.
    """
    said = [trial.user_attrs for trial in known if trial.state != TrialState.FAIL]
    there = {(check[ROLE], check[OF]) for check in said}
    found = [Check(HELD_OUT, trial) for trial in leaders] if held_out else []
    if leaders and not any(role == REPEAT for role, _ in there):
        found.append(Check(REPEAT, leaders[0]))
    return [check for check in found if (check.role, check.trial) not in there]


def enqueue(checks: optuna.Study, wanted: Sequence[Check], parameters: Mapping[int, Mapping]) -> None:
    """Queue checks; `parameters` are of the trials they belong to."""
    for check in wanted:
        said = {ROLE: check.role, OF: check.trial, PARAMETERS: dict(parameters[check.trial])}
        checks.enqueue_trial({}, user_attrs=store.json_safe(said))


def queue_checks(
    study: optuna.Study,
    checks: optuna.Study,
    out: Path,
    experiment: Experiment,
    order: Mapping[str, Sequence],
) -> None:
    """Queue what is still to be checked of what the search has found."""
    best = leaders(study, out, experiment.search.confirm)
    wanted = wanted_checks(best, bool(order[HELD_OUT]), checks.get_trials(deepcopy=False))
    trials = study.get_trials(deepcopy=False)
    enqueue(checks, wanted, {number: parameters_of(trials[number]) for number in best})


def orders(held_out: Sequence[str], cases: Sequence[Case], order: Sequence[str]) -> dict[str, list[str]]:
    """Role -> ids of the cases that it draws.

    Args:
        held_out: ids of prompts.
        order: ids of the search's cases.
    """
    apart = [case.id for case in cases if case.prompt_id in held_out]
    return {HELD_OUT: apart, REPEAT: list(order)}


def check_of(trial: optuna.Trial | FrozenTrial) -> tuple[Check, Mapping[str, Any]]:
    """What a trial of the checks' study checks, and with which parameters."""
    said = trial.user_attrs
    return Check(said[ROLE], said[OF]), said[PARAMETERS]


def run_checks(
    checks: optuna.Study,
    order: Mapping[str, Sequence[str]],
    may_start: Callable[[], bool],
    evaluate: Callable[[str], Evaluate],
    on_check: Callable[[Check, Mapping[str, Any], Outcome | GridsearchError], None],
) -> None:
    """Draw the queued checks, one that was interrupted first, as far as there is time.

    Args:
        order: role -> ids of the cases it draws.
        evaluate: of a role.
    """
    while unfinished := [t for t in checks.get_trials(deepcopy=False) if not t.state.is_finished()]:
        if not may_start():
            return
        running = next((trial for trial in unfinished if trial.state == TrialState.RUNNING), None)
        trial = optuna.Trial(checks, running._trial_id) if running else checks.ask()
        on_check(*draw_check(checks, trial, order, evaluate))


def draw_check(
    checks: optuna.Study,
    trial: optuna.Trial,
    order: Mapping[str, Sequence[str]],
    evaluate: Callable[[str], Evaluate],
) -> tuple[Check, Mapping[str, Any], Outcome | GridsearchError]:
    """Draw what a check is still missing, and tell what it came to.

    Raises:
        MustStop: no check could go better now. This one stays as it is.
    """
    check, parameters = check_of(trial)
    try:
        found, _ = run_cases(checks, trial, parameters, order[check.role], None, evaluate(check.role))
    except MustStop:
        raise
    except RunFailed as error:
        store.fail(checks, trial, error.lines[0], error.kind)
        return check, parameters, error
    checks.tell(trial, found.value)
    return check, parameters, found


def alarming(
    study: optuna.Study,
    settings: Mapping[str, Any],
    on_trial: Callable[[Told], None],
    note: Callable[[str], None],
) -> Callable[[Told], None]:
    """`on_trial`, and a note with it where a trial's pictures are all another's, and should not be.

    Args:
        settings: the experiment, as plain data.
    """
    ended = study.get_trials(deepcopy=False, states=store.ENDED)
    drawn = {trial.number: _digests(store.images_of(trial)) for trial in ended}
    made = {trial.number: _made(settings, parameters_of(trial)) for trial in ended}

    def told(trial: Told) -> None:
        on_trial(trial)
        if isinstance(trial.outcome, GridsearchError):
            return
        mine, own = _digests(trial.outcome.images), _made(settings, trial.parameters)
        twins = [
            number
            for number, other in drawn.items()
            if made[number] != own and identical.identical({number: other, trial.number: mine})
        ]
        drawn[trial.number], made[trial.number] = mine, own
        if twins:
            note(
                f"Trial {trial.number} drew the same images as trial {twins[0]}, pixel for pixel, though "
                "their parameters differ: what is searched may have no effect."
            )

    return told


def _made(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple:
    """What is merged, and how it is drawn. At ratio 0 it does not matter which model the other one is."""
    tidied = {name: tidy(value) for name, value in parameters.items()}
    return made_of(settings, tidied), drawn_with(settings, tidied)


def _digests(images: Sequence[Mapping]) -> dict[str, str]:
    return {
        case_of(row): row["digest"]
        for row in images
        if row.get("digest") and row["verdict"] not in identical.ALIKE
    }
