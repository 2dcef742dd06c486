"""Scoring a run's stored images again."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pydantic

from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import open_picture
from gridsearch.experiment.experiment import EXPERIMENT_TABLES, Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.experiment.tables import Scoring
from gridsearch.experiment.validation import bad_key
from gridsearch.render.cases import Case, case_of
from gridsearch.render.pictures import reduced_from
from gridsearch.results import store
from gridsearch.results.store.paths import picture_of
from gridsearch.score.measure import read_image
from gridsearch.search.cases import order_of
from gridsearch.search.rescored import with_rows
from gridsearch.search.taste import learned
from gridsearch.search.trial.standard import (
    Standard,
    failure_notes,
    idle_notes,
    open_standard,
    scored_references,
    scored_row,
    standard_of,
    with_taste,
    with_values,
)
from gridsearch.search.trial.tasting import tasted


def rescore(
    folder: Path, counting: Callable[[int], Callable[[], None]], scoring: Scoring | None = None
) -> list[str]:
    """Score a run's stored images again, the references too; returns notes for the user.

    A picture that is kept small is no measure of what was drawn: its scores stay, and so do those of one that
    cannot be read. The study's values follow.
    Optuna does not change a finished trial, so a new study takes the place of the old one.

    Args:
        counting: told how many images there are, returns what is called after each.
        scoring: what to score by from now on, in the place of the run's own.
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
    drawn = [row["file"] for trial in (*stored.trials, *stored.checks) for row in store.images_of(trial)]
    references = facts.references
    if references and not drawn:  # nothing was judged by those that are gone, and a run draws them again
        references = [row for row in references if picture_of(folder, row["file"]).is_file()]
    cases = {case.id: case for case in cases_of(experiment.prompt)}
    taste, notes = learned(experiment.score)
    gone = {
        file for file in [*drawn, *(row["file"] for row in references or ())] if not _is_there(folder, file)
    }
    references, standard = _references(folder, experiment, cases, references, gone, taste)
    small = {file for file in drawn if file not in gone and reduced_from(folder / file)}
    advance = counting(len(drawn))

    def scored(row: Mapping) -> dict:
        """Return an image's row with the scores that it has today; those of a small one stay."""
        again = tasted(row, standard.tasting) if taste or facts.taste else dict(row)
        if row["file"] not in small | gone:
            pixels = read_image(picture_of(folder, row["file"]))
            again = with_values(row, standard, pixels, cases[case_of(row)])
            again = scored_row(standard, again, standard.measured(pixels))[0]
        advance()
        return again

    trials, checks = with_rows(stored, scored, order_of(facts), experiment.search.kind.goals)
    settings = facts.experiment | {"score": experiment.score.model_dump(mode="json")}
    facts = replace(facts, experiment=settings, references=references, taste=taste)
    store.write_study(folder, facts, trials, checks, stored.done)
    images = [row for trial in (*trials, *checks) for row in store.images_of(trial)]
    notes += [*failure_notes([*(references or ()), *images]).values(), *idle_notes(standard)]
    if gone:
        many = f"{len(gone):,} images are" if len(gone) > 1 else f"1 image ({min(gone)}) is"
        notes.append(f"{many} missing or unreadable: the scores stay.")
    if small:
        many = f"{len(small):,} of {len(drawn):,} images"
        notes.append(f"{many} are kept small and were not scored again: their scores stay.")
    return notes


def _experiment(settings: Mapping, scoring: Scoring | None, folder: Path) -> Experiment:
    """Return the run's experiment, with the scoring to use from now on."""
    if scoring:
        _require_judged(Scoring.model_validate(settings["score"]), scoring, folder)
        settings = {**settings, "score": scoring.model_dump(mode="json")}
    try:
        return Experiment.model_validate(settings)
    except pydantic.ValidationError as error:
        raise bad_key(error, folder, EXPERIMENT_TABLES) from None


def _require_judged(before: Scoring, now: Scoring, folder: Path) -> None:
    """Refuse to ask for a content that was not judged as the images were drawn: no model is loaded here."""
    if now.content and (before.content is None or before.content.levels != now.content.levels):
        what = "The parents have not judged this run's images, or not at these levels of noise."
        fix = "Keep [score] content and its levels as they are, or run the experiment into another folder."
        raise BadInput(what, where=folder, why="Scoring again loads no model.", fix=fix)


def _is_there(folder: Path, file: str) -> bool:
    try:
        with open_picture(picture_of(folder, file)):
            return True
    except BadInput:
        return False


def _references(
    folder: Path,
    experiment: Experiment,
    cases: Mapping[str, Case],
    rows: list[dict] | None,
    gone: Collection[str],
    taste: Mapping | None,
) -> tuple[list[dict] | None, Standard]:
    """Score the references again; returns their rows and the standard that they set.

    Raises:
        BadInput: a model that is to be one has no renders, while others do; a run draws the first ones.
    """
    by = with_taste(open_standard(experiment.score), experiment.score, taste)
    models = experiment.reference_models()
    drawn = {row["model"] for row in rows or ()}
    if missing := [name for name in models if drawn and name not in drawn]:
        what = f"This run has no renders of {missing[0]} alone, so {missing[0]} cannot be a reference."
        why = f"It has renders of {', '.join(sorted(drawn))}."
        fix = "Name these as score.references, or run the experiment into another folder."
        raise BadInput(what, where=folder, why=why, fix=fix)
    there = [row for row in rows or () if row["file"] not in gone]
    if there:
        scored, standard = scored_references(folder, there, models, cases, by)
        again = {row["file"]: row for row in scored}
        return [again.get(row["file"], row) for row in rows or ()], standard
    return rows, standard_of((), [*cases], by)
