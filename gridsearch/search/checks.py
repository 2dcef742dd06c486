"""What is drawn once the search is done, to check it: the leaders on prompts that had no say, the best again.

They lie in a study of their own beside the search's, so that no sampler learns from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.errors import GridsearchError, RunFailed
from gridsearch.outcome import Outcome
from gridsearch.search.race import Evaluate, run_cases

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
        said = trial.user_attrs
        cases = order[said[ROLE]]
        try:
            found, _ = run_cases(checks, trial, said[PARAMETERS], cases, None, evaluate(said[ROLE]))
            checks.tell(trial, found.value)
        except RunFailed as error:
            trial.set_user_attr(store.REASON, error.lines[0])
            checks.tell(trial, state=TrialState.FAIL)
            found = error
        on_check(Check(said[ROLE], said[OF]), said[PARAMETERS], found)
