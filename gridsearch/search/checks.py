"""The checks of a finished search: its leaders rendered on prompts that had no say, and the best again.

They lie in a study of their own beside the search's, so that no sampler learns from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import Case, case_of
from gridsearch.results import store
from gridsearch.results.analysis.identical import ALIKE, drawn_with, identical, made_of
from gridsearch.search.evaluate import RenderCases, Told, failures_recorded, render_cases
from gridsearch.search.parameters import parameters_of, tidied

HELD_OUT, REPEAT = "held_out", "repeat"
ROLE, OF, PARAMETERS = "role", "of", "parameters"  # attributes of a check's trial


@dataclass(frozen=True)
class Check:
    """One more rendering of a trial: on the held-out prompts, or of what it was itself."""

    role: str
    trial: int


def wanted_checks(leaders: Sequence[int], held_out: bool, known: Sequence[FrozenTrial]) -> list[Check]:
    """Return the checks that are still to be rendered.

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
    """Queue the checks that the search's results still lack."""
    from gridsearch.search.stop import leaders  # imports pandas, which a plan is spared

    best = leaders(study, out, experiment.search.confirm)
    wanted = wanted_checks(best, bool(order[HELD_OUT]), checks.get_trials(deepcopy=False))
    trials = study.get_trials(deepcopy=False)
    enqueue(checks, wanted, {number: parameters_of(trials[number]) for number in best})


def cases_by_role(
    held_out: Sequence[str], cases: Sequence[Case], order: Sequence[str]
) -> dict[str, list[str]]:
    """Return role -> ids of the cases that it renders.

    Args:
        held_out: ids of prompts.
        order: ids of the search's cases.
    """
    apart = [case.id for case in cases if case.prompt_id in held_out]
    return {HELD_OUT: apart, REPEAT: list(order)}


def check_of(trial: optuna.Trial | FrozenTrial) -> tuple[Check, Mapping[str, Any]]:
    """Return the check that a trial of the checks' study is, and its parameters."""
    said = trial.user_attrs
    return Check(said[ROLE], said[OF]), said[PARAMETERS]


def evaluate_check(
    checks: optuna.Study, trial: optuna.Trial, order: Mapping[str, Sequence[str]], render: RenderCases
) -> None:
    """Render what a check still lacks, and tell its study the result.

    Args:
        order: role -> ids of the cases that it renders.

    Raises:
        MustStop: no check could go better now. This one stays as it is.
    """
    check, parameters = check_of(trial)
    with failures_recorded(checks, trial):
        found, _ = render_cases(checks, trial, parameters, order[check.role], render)
        checks.tell(trial, found.value)


@dataclass
class RenderedImages:
    """The images of a search so far, by which two trials that rendered the same are noticed.

    Attributes:
        settings: the experiment, as plain data.
        digests: trial's number -> case id -> digest of the image.
        made: trial's number -> what was merged, and how it was rendered.
    """

    settings: Mapping[str, Any]
    digests: dict[int, dict[str, str]]
    made: dict[int, tuple]

    @classmethod
    def of(cls, study: optuna.Study, experiment: Experiment) -> Self:
        """Return the images that a study holds already."""
        settings = experiment.model_dump(mode="json")
        ended = study.get_trials(deepcopy=False, states=store.ENDED)
        digests = {trial.number: _digests(store.images_of(trial)) for trial in ended}
        return cls(settings, digests, {t.number: _made(settings, parameters_of(t)) for t in ended})

    def add(self, trial: Told) -> str | None:
        """Add a trial; returns a note where its images are another's, though its parameters differ."""
        if isinstance(trial.outcome, GridsearchError):
            return None
        mine, made = _digests(trial.outcome.images), _made(self.settings, trial.parameters)
        twins = [
            number
            for number, other in self.digests.items()
            if self.made[number] != made and identical({number: other, trial.number: mine})
        ]
        self.digests[trial.number], self.made[trial.number] = mine, made
        if not twins:
            return None
        return (
            f"Trial {trial.number} rendered the same images as trial {twins[0]}, pixel for pixel, though "
            "their parameters differ: what is searched may have no effect."
        )


def _made(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple:
    """Return what is merged and how it is rendered; at ratio 0 the other model does not matter."""
    return made_of(settings, tidied(parameters)), drawn_with(settings, tidied(parameters))


def _digests(images: Sequence[Mapping]) -> dict[str, str]:
    return {
        case_of(row): row["digest"] for row in images if row.get("digest") and row["verdict"] not in ALIKE
    }
