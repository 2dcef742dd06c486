"""Scores of a run's images, made again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.outcome import Outcome, score_row, stop_verdict
from gridsearch.references import bands_of, judged_references
from gridsearch.render.cases import case_id
from gridsearch.score.band import Band
from gridsearch.score.image import read_image
from gridsearch.score.score import score


def rescore(folder: Path, counting: Callable[[int], Callable[[], None]]) -> None:
    """Score a run's stored images again, the references too; the study's values follow.

    Optuna does not change a finished trial, so a new study takes the place of the old one.

    Args:
        counting: told how many images there are, returns what is called after each.
    """
    store.require_study(folder)  # an error here leaves no lock behind
    with store.locked(folder):
        _rescore_locked(folder, counting)


def _rescore_locked(folder: Path, counting: Callable[[int], Callable[[], None]]) -> None:
    facts, trials = store.read_study(folder)
    advance = counting(sum(len(trial.user_attrs.get(store.IMAGES, ())) for trial in trials))
    references = judged_references(folder, facts.references) if facts.references else None
    cases = {
        case_id(row["prompt_id"], row["seed"])
        for trial in trials
        for row in trial.user_attrs.get(store.IMAGES, ())
    }
    bands = bands_of(references or (), sorted(cases))
    rescored = [_rescored(folder, trial, bands, advance) for trial in trials]
    store.write_study(folder, replace(facts, references=references), rescored)


def _rescored(
    folder: Path, trial: FrozenTrial, bands: dict[str, Band], advance: Callable[[], None]
) -> FrozenTrial:
    """The same trial with the rows and the value that today's scores give it."""
    if trial.state != TrialState.COMPLETE:
        return trial
    rows = []
    for row in trial.user_attrs[store.IMAGES]:
        pixels = read_image(folder / row["file"])
        band = bands[case_id(row["prompt_id"], row["seed"])]
        judged = score(pixels, band, finite=row["finite"], stopped=stop_verdict(row))
        rows.append(row | score_row(judged))
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
