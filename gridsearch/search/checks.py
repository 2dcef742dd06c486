"""The checks of a finished search: its leaders rendered on prompts that had no say, and the best again.

They lie in a study of their own beside the search's, so that no sampler learns from them. Here, too, is what
a search asks of its own results: who leads, whether that is enough, and whether two trials drew the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import LOOK
from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.results.analysis.identical import ALIKE, drawn_with, identical, made_of
from gridsearch.score.score import SURVIVES
from gridsearch.search.cases import held_out_cases
from gridsearch.search.evaluate import RenderCases, Told, render_cases
from gridsearch.search.parameters import parameters_of, tidied

if TYPE_CHECKING:
    from gridsearch.results.analysis.answer import Answer
    from gridsearch.results.results import Results

HELD_OUT, REPEAT = "held_out", "repeat"
FLAT_FROM = 4  # ratios that are all alike are enough: both ends, and the thirds
ROLE, OF, PARAMETERS = "role", "of", "parameters"  # attributes of a check's trial


@dataclass(frozen=True)
class Check:
    """One more rendering of a trial: on the held-out prompts, or of what it was itself."""

    role: str
    trial: int


def wanted_checks(leaders: Sequence[int], held_out: bool, known: Sequence[FrozenTrial]) -> list[Check]:
    """Return the checks of the leaders, the best first, that are not known; a failed one is tried again."""
    there = {check_of(trial)[0] for trial in known if trial.state != TrialState.FAIL}
    found = [Check(HELD_OUT, trial) for trial in leaders] if held_out else []
    if leaders and not any(check.role == REPEAT for check in there):
        found.append(Check(REPEAT, leaders[0]))
    return [check for check in found if check not in there]


def enqueue(checks: optuna.Study, wanted: Sequence[Check], parameters: Mapping[int, Mapping]) -> None:
    """Queue checks; `parameters` are of the trials they belong to."""
    for check in wanted:
        said = {ROLE: check.role, OF: check.trial, PARAMETERS: dict(parameters[check.trial])}
        checks.enqueue_trial({}, user_attrs=store.json_safe(said))


def queue_checks(
    study: optuna.Study, checks: optuna.Study, out: Path, experiment: Experiment, held_out: bool
) -> None:
    """Queue the checks that the search's results still lack."""
    best = leaders(study, out, experiment.search.confirm)
    trials = study.get_trials(deepcopy=False)
    wanted = wanted_checks(best, held_out, checks.get_trials(deepcopy=False))
    enqueue(checks, wanted, {number: parameters_of(trials[number]) for number in best})


def cases_by_role(facts: store.Facts) -> dict[str, list[str]]:
    """Return role -> ids of the cases that a check renders."""
    return {HELD_OUT: held_out_cases(facts), REPEAT: facts.order}


def check_of(trial: optuna.Trial | FrozenTrial) -> tuple[Check, Mapping[str, Any]]:
    """Return the check that a trial of the checks' study is, and its parameters."""
    said = trial.user_attrs
    return Check(said[ROLE], said[OF]), said[PARAMETERS]


@dataclass(frozen=True)
class Repeated:
    """The rule that ends a repeat after its first images, where each is the trial's own, pixel for pixel."""

    digests: Mapping[str, str | None]  # of the trial's images, by case
    cases: int  # of the trial

    def next_look(self, drawn: int, sound: int) -> int:
        """Return how many images are asked for: all, so that they come in the trial's own batches."""
        return self.cases

    def reason(self, study: optuna.Study, trial: FrozenTrial) -> str | None:
        """Return why no further image is needed; None where one is."""
        again = {case_of(row): row.get("digest") for row in store.images_of(trial)}
        if len(again) < LOOK or None in again.values():
            return None
        same = all(self.digests.get(case) == digest for case, digest in again.items())
        return f"the first {len(again)} images are the same" if same else None


def evaluate_check(
    study: optuna.Study,
    checks: optuna.Study,
    trial: optuna.Trial,
    order: Mapping[str, Sequence[str]],
    render: RenderCases,
) -> None:
    """Render what a check of a study's trial still lacks, and tell its own study the result.

    `order` is of `cases_by_role`.
    """
    check, parameters = check_of(trial)
    cases, ends = order[check.role], None
    if check.role == REPEAT:
        drawn = store.images_of(study.get_trials(deepcopy=False)[check.trial])
        ends = Repeated({case_of(row): row.get("digest") for row in drawn}, len(cases))
    found, _ = render_cases(checks, trial, parameters, cases, render, ends)
    checks.tell(trial, replace(found, cases=len(found.images)).value)  # a repeat may end early


def leaders(study: optuna.Study, out: Path, wanted: int) -> list[int]:
    """Return the trials that may be the best: the best, those tied with it, then the next by rank."""
    results, answer = _analysed(study, out)
    if answer.best is None:
        return []
    ranked = results.trials[results.trials["state"] == "COMPLETE"]
    if results.parameters:
        ranked = ranked.drop_duplicates([*results.parameters])
    ranked = ranked.sort_values(["survived", "defect"], ascending=[False, True])["trial"].tolist()
    tied = [trial for trial in ranked if trial in answer.tied]
    return list(dict.fromkeys([answer.best.trial, *tied, *ranked]))[:wanted]


def known_enough(study: optuna.Study, out: Path, experiment: Experiment) -> str | None:
    """Return why no further trial is needed, if so."""
    one_curve = experiment.search.sampler == "window" and len(experiment.searched()) == 1
    alike = all_alike(study, out) if one_curve else None
    return alike or narrow_enough(study, out, experiment.search.width)


def all_alike(study: optuna.Study, out: Path) -> str | None:
    """Return why no further ratio is needed, if so: enough of them draw surely as well as one another."""
    trials = study.get_trials(deepcopy=False, states=store.ENDED)
    found = [trial.user_attrs[store.SUMMARY] for trial in trials]
    if len(found) < FLAT_FROM or any(one["partial"] or one["survived"] < SURVIVES for one in found):
        return None
    best = _analysed(study, out)[1].best
    flat = best.plateau if best else None
    if flat is None or not flat.whole:
        return None
    return f"all that was tried is as good, within {flat.margin:g} of the mean loss ({flat.level:.0%} sure)"


def narrow_enough(study: optuna.Study, out: Path, width: float | None) -> str | None:
    """Return why no further trial is needed, if so: the interval of the best is as narrow as asked."""
    if width is None:
        return None
    best = _analysed(study, out)[1].best
    if best is None or best.interval is None:
        return None
    found = best.interval.high - best.interval.low
    return f"the best's interval is {found:.3g} wide, {width:g} was asked for" if found <= width else None


def _analysed(study: optuna.Study, out: Path) -> "tuple[Results, Answer]":
    from gridsearch.results.analysis.analyse import analyse  # imports pandas, which a plan is spared
    from gridsearch.results.results import results_of

    stored = store.stored(study)  # earlier checks have no say
    results = results_of(store.Stored(stored.facts, stored.trials, [], None), out)
    return results, analyse(results)


@dataclass
class RenderedImages:
    """The images of a search so far, by which two trials that rendered the same are noticed."""

    settings: Mapping[str, Any]  # the experiment, as plain data
    digests: dict[int, dict[str, str]] = field(default_factory=dict)  # trial -> case id -> the image's digest
    made: dict[int, tuple] = field(default_factory=dict)  # trial -> what was merged, and how it was rendered

    @classmethod
    def of(cls, study: optuna.Study, experiment: Experiment) -> Self:
        """Return the images that a study holds already."""
        images = cls(experiment.model_dump(mode="json"))
        for trial in study.get_trials(deepcopy=False, states=store.ENDED):
            images._keep(trial.number, parameters_of(trial), store.images_of(trial))
        return images

    def _keep(self, number: int, parameters: Mapping[str, Any], rows: Sequence[Mapping]) -> None:
        drawn = [row for row in rows if row.get("digest") and row["verdict"] not in ALIKE]
        self.digests[number] = {case_of(row): row["digest"] for row in drawn}
        # at ratio 0 the other model does not matter
        found = tidied(parameters)
        self.made[number] = made_of(self.settings, found), drawn_with(self.settings, found)

    def add(self, trial: Told) -> str | None:
        """Add a trial; returns a note where its images are another's, though its parameters differ."""
        if isinstance(trial.outcome, GridsearchError):
            return None
        mine = trial.number
        self._keep(mine, trial.parameters, trial.outcome.images)
        for number in self.digests:
            pair = {number: self.digests[number], mine: self.digests[mine]}
            if self.made[number] != self.made[mine] and identical(pair):
                return (
                    f"Trial {mine} rendered the same images as trial {number}, pixel for pixel, though "
                    "their parameters differ: what is searched may have no effect."
                )
        return None
