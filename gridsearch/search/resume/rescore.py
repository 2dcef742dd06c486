"""Scoring a run's stored images again."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydantic
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import EXPERIMENT_TABLES, Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.experiment.tables import Scoring
from gridsearch.experiment.validation import bad_key
from gridsearch.render.cases import Case, case_of
from gridsearch.render.pictures.infotext import reduced_from
from gridsearch.results import store
from gridsearch.results.store.paths import picture_of
from gridsearch.score.image import read_image
from gridsearch.score.score import score_row
from gridsearch.search.racing.reports import LAST_STEP, losses_by_step, stopped_value
from gridsearch.search.resume.grow import order_of
from gridsearch.search.trial.outcome import Outcome
from gridsearch.search.trial.references import scored_references, standard_of
from gridsearch.search.trial.standard import (
    Standard,
    failure_notes,
    idle_notes,
    open_standard,
    score_image,
    with_values,
)


def rescore(
    folder: Path, counting: Callable[[int], Callable[[], None]], scoring: Scoring | None = None
) -> list[str]:
    """Score a run's stored images again, the references too; the study's values follow.

    A picture that is kept small is no measure of what was drawn: its scores stay.
    Optuna does not change a finished trial, so a new study takes the place of the old one.

    Args:
        counting: told how many images there are, returns what is called after each.
        scoring: what to score by from now on, in the place of the run's own.
    Returns:
        Notes for the user.
    Raises:
        BadInput: a scorer, or a model whose renders are to be the references, is not there.
    """
    store.require_study(folder)  # an error here leaves no lock behind
    with store.locked(folder):
        return _rescore_locked(folder, counting, scoring)


def _rescore_locked(
    folder: Path, counting: Callable[[int], Callable[[], None]], scoring: Scoring | None
) -> list[str]:
    stored = store.read_study(folder)
    facts = stored.facts
    experiment = _experiment(facts.experiment, scoring, folder)
    by = open_standard(experiment.score)
    cases, models = cases_of(experiment.prompt), experiment.reference_models()
    drawn = [row["file"] for trial in (*stored.trials, *stored.checks) for row in store.images_of(trial)]
    count, references = len(drawn), facts.references
    if references and not count:  # nothing was judged by those that are gone, and a run draws them again
        references = [row for row in references if picture_of(folder, row["file"]).is_file()]
    _require_drawn(models, references, folder)

    if references:
        references, standard = scored_references(folder, references, models, cases, by)
    else:
        standard = standard_of((), [case.id for case in cases], by)
    known = {case.id: case for case in cases}
    small = {file for file in drawn if reduced_from(folder / file)}
    scored = partial(_scored_again, folder, known, standard, counting(count), small)
    order = order_of(facts)
    trials = [_rescored(trial, scored, order, experiment.search.objectives()) for trial in stored.trials]
    trials = [_never_best(trial, trials) for trial in trials]
    checks = [_rescored(check, scored, (), ("value",)) for check in stored.checks]

    settings = facts.experiment | {"score": experiment.score.model_dump(mode="json")}
    facts = replace(facts, experiment=settings, references=references)
    store.write_study(folder, facts, trials, checks, stored.done)
    images = [row for trial in (*trials, *checks) for row in store.images_of(trial)]
    notes = [*failure_notes([*(references or ()), *images]).values(), *idle_notes(standard)]
    if small:
        many = f"{len(small):,} of {count:,} images"
        notes.append(f"{many} are kept small and were not scored again: their scores stay.")
    return notes


def _experiment(settings: Mapping, scoring: Scoring | None, folder: Path) -> Experiment:
    """Return the run's experiment, with the scoring to use from now on."""
    if scoring:
        settings = {**settings, "score": scoring.model_dump(mode="json")}
    try:
        return Experiment.model_validate(settings)
    except pydantic.ValidationError as error:
        raise bad_key(error, folder, EXPERIMENT_TABLES) from None


def _require_drawn(models: Sequence[str], references: Sequence[Mapping] | None, folder: Path) -> None:
    """Raise BadInput unless all models that are to be references have renders; a run draws the first ones."""
    drawn = {row["model"] for row in references or ()}
    if missing := [name for name in models if drawn and name not in drawn]:
        raise BadInput(
            f"This run has no renders of {missing[0]} alone, so {missing[0]} cannot be a reference.",
            where=folder,
            why=f"It has renders of {', '.join(sorted(drawn))}.",
            fix="Name these as score.references, or run the experiment into another folder.",
        )


def _scored_again(
    folder: Path,
    cases: Mapping[str, Case],
    standard: Standard,
    advance: Callable[[], None],
    small: Collection[str],
    row: Mapping,
) -> dict:
    """Return an image's row with the scores that it has today; those of a small one stay."""
    if row["file"] in small:
        advance()
        return dict(row)
    pixels = read_image(picture_of(folder, row["file"]))
    again = with_values(row, standard.scorers, pixels, cases[case_of(row)])
    advance()
    return again | score_row(score_image(standard, pixels, again))


def _rescored(
    trial: FrozenTrial,
    scored: Callable[[Mapping], dict],
    order: Sequence[str],
    objectives: Sequence[str],
) -> FrozenTrial:
    """Return the same trial with the rows and the value that today's scores give it."""
    rows = [scored(row) for row in store.images_of(trial)]
    if not rows:
        return trial
    outcome = Outcome(rows, store.seconds_of(trial), max(len(rows), len(order)))
    attrs = store.with_images(trial, rows)
    if store.SUMMARY in attrs:
        attrs[store.SUMMARY] = outcome.summary()
    ended = trial.state in store.ENDED
    return store.copied(
        trial,
        values=outcome.values(objectives) if ended else None,
        user_attrs=attrs,
        intermediate_values=losses_by_step(rows, order) if trial.intermediate_values else {},
    )


def _never_best(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the same trial; one that a race stopped counts as worse than the best of all."""
    if trial.state != TrialState.PRUNED or trial.value is None:
        return trial
    complete = [one.value for one in trials if one.state == TrialState.COMPLETE and one.value is not None]
    value = stopped_value(trial.value, min(complete, default=0.0))
    return store.copied(
        trial, values=[value], intermediate_values=trial.intermediate_values | {LAST_STEP: value}
    )
