"""Scores of a run's images, made again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pydantic
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.errors import BadInput
from gridsearch.experiment import TABLES, Experiment
from gridsearch.judging import Standard, failure_notes, idle_notes, judge, opened, with_values
from gridsearch.outcome import Outcome, score_row
from gridsearch.references import judged_references, standard_of
from gridsearch.render.cases import Case, case_id, cases_of
from gridsearch.score.image import read_image
from gridsearch.scoring import Scoring
from gridsearch.validation import bad_key


def rescore(
    folder: Path, counting: Callable[[int], Callable[[], None]], scoring: Scoring | None = None
) -> list[str]:
    """Score a run's stored images again, the references too; the study's values follow.

    Optuna does not change a finished trial, so a new study takes the place of the old one.

    Args:
        counting: told how many images there are, returns what is called after each.
        scoring: what to score by from now on, in the place of the run's own.
    Returns:
        What a person should know.
    Raises:
        BadInput: a scorer, or a model whose renders are to be the references, is not there.
    """
    store.require_study(folder)  # an error here leaves no lock behind
    with store.locked(folder):
        return _rescore_locked(folder, counting, scoring)


def _rescore_locked(
    folder: Path, counting: Callable[[int], Callable[[], None]], scoring: Scoring | None
) -> list[str]:
    facts, trials = store.read_study(folder)
    experiment = _experiment(facts.experiment, scoring, folder)
    by = opened(experiment.score)
    cases, models = cases_of(experiment.prompt), experiment.reference_models()
    _require_drawn(models, facts.references, folder)
    advance = counting(sum(len(trial.user_attrs.get(store.IMAGES, ())) for trial in trials))

    references = facts.references
    if references:
        references, standard = judged_references(folder, references, models, cases, by)
    else:
        standard = standard_of((), [case.id for case in cases], by)
    known = {case.id: case for case in cases}
    rescored = [_rescored(folder, trial, known, standard, advance) for trial in trials]

    settings = facts.experiment | {"score": experiment.score.model_dump(mode="json")}
    store.write_study(folder, replace(facts, experiment=settings, references=references), rescored)
    images = [row for trial in rescored for row in trial.user_attrs.get(store.IMAGES, ())]
    return [*failure_notes([*(references or ()), *images]).values(), *idle_notes(standard)]


def _experiment(settings: Mapping, scoring: Scoring | None, folder: Path) -> Experiment:
    """The run's experiment, with what it is to be scored by from now on."""
    if scoring:
        settings = {**settings, "score": scoring.model_dump(mode="json")}
    try:
        return Experiment.model_validate(settings)
    except pydantic.ValidationError as error:
        raise bad_key(error, folder, TABLES) from None


def _require_drawn(models: Sequence[str], references: Sequence[Mapping] | None, folder: Path) -> None:
    """Whether there are renders of all models that are to be references; none at all are drawn by the run."""
    drawn = {row["model"] for row in references or ()}
    if missing := [name for name in models if drawn and name not in drawn]:
        raise BadInput(
            f"This run holds no renders of {missing[0]} alone, so they cannot be its references.",
            where=folder,
            why=f"It holds those of {', '.join(sorted(drawn))}.",
            fix="Name these as score.references, or run the experiment into another folder.",
        )


def _rescored(
    folder: Path,
    trial: FrozenTrial,
    cases: Mapping[str, Case],
    standard: Standard,
    advance: Callable[[], None],
) -> FrozenTrial:
    """The same trial with the rows and the value that today's scores give it."""
    if trial.state != TrialState.COMPLETE:
        return trial
    rows = []
    for row in trial.user_attrs[store.IMAGES]:
        pixels = read_image(folder / row["file"])
        case = cases[case_id(row["prompt_id"], row["seed"])]
        again = with_values(row, standard.scorers, pixels, case)
        rows.append(again | score_row(judge(standard, pixels, again)))
        advance()
    outcome = Outcome(rows, trial.user_attrs[store.SECONDS])
    again = optuna.trial.create_trial(
        state=trial.state,
        value=outcome.value,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs | {store.IMAGES: store.json_safe(rows)},
        system_attrs=trial.system_attrs,
    )
    again.datetime_start, again.datetime_complete = trial.datetime_start, trial.datetime_complete
    return again
