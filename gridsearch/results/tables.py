"""study.db -> the tables of a run: a row per trial, a row per image."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import case_id, case_of
from gridsearch.results import store
from gridsearch.results.columns import (
    AVERAGED,
    CHECKED_IMAGES,
    IMAGES,
    IMAGES_CSV,
    REFERENCES,
    TRIALS,
    Column,
    names,
    number_names,
)
from gridsearch.results.results import Results, scorer_names
from gridsearch.results.store.artifacts import gather, rows_with_pictures
from gridsearch.results.store.facts import judgements_of


def load_results(folder: Path) -> Results:
    """Load all that a results folder holds, finished or not; what workers elsewhere have drawn is fetched.

    Raises:
        BadInput: the folder holds no study.
        RunFailed: the database, or where the images lie, does not answer.
    """
    stored = store.read_study(folder)
    gather(folder, rows_with_pictures(stored))
    return results_of(stored, folder)


def results_of(stored: store.Stored, folder: Path) -> Results:
    """Return what is stored as tables."""
    facts, trials = stored.facts, stored.trials
    parameters = tuple(Experiment.model_validate(facts.experiment).searched())
    scorers = scorer_names(facts.experiment)
    ended = [trial for trial in trials if trial.state in store.ENDED]
    drawn = [({"trial": trial.number, **_parameters(trial, parameters)}, trial) for trial in ended]
    checks = [
        ({"role": said["role"], "trial": said["of"], **said["parameters"]}, check)
        for check in stored.checks
        if check.state == TrialState.COMPLETE and (said := check.user_attrs)
    ]
    images = _table(_image_rows(drawn, facts), IMAGES, parameters, scorers)
    remaining = store.remaining(facts, trials, stored.done)
    return Results(
        name=facts.experiment["name"],
        folder=folder,
        facts=facts,
        trials=_trials(trials, parameters, scorers, images),
        images=images,
        references=_table(facts.references or (), REFERENCES, (), scorers),
        parameters=parameters,
        finished=remaining == 0,
        planned=len(ended) + remaining,
        checks=_table(_image_rows(checks, facts), CHECKED_IMAGES, parameters, scorers),
        judgements=pd.DataFrame([asdict(made) for made in judgements_of(stored.judgements)]),
    )


def _table(
    rows: Iterable[Mapping], columns: Sequence[Column], parameters: tuple[str, ...], scorers: tuple[str, ...]
) -> pd.DataFrame:
    """Make a table of rows; a missing number is NaN, for a column of numbers and Nones would hold objects."""
    rows = [{**row, **row.get("scorers", {})} for row in rows]
    table = pd.DataFrame(rows, columns=names(columns, parameters, scorers))
    return table.assign(**{name: pd.to_numeric(table[name]) for name in number_names(columns, scorers)})


def _image_rows(trials: Iterable[tuple[Mapping, FrozenTrial]], facts: store.Facts) -> list[dict[str, Any]]:
    """Return a row per image with what is said of its trial, a trial's in the experiment's order."""
    cases = [case_id(p["id"], seed) for p in facts.experiment.get("prompt", ()) for seed in p["seeds"]]
    order = {case: i for i, case in enumerate(cases)}
    return [
        {**said, **row}
        for said, trial in trials
        for row in sorted(store.images_of(trial), key=lambda row: order.get(case_of(row), 0))
    ]


def _trials(
    trials: Iterable[FrozenTrial], parameters: tuple[str, ...], scorers: tuple[str, ...], images: pd.DataFrame
) -> pd.DataFrame:
    by_trial = images.groupby("trial")
    means = by_trial[names(AVERAGED, scorers=scorers)].mean()
    survived = by_trial["verdict"].agg(lambda verdicts: (verdicts == "ok").mean())
    counts = by_trial.size()
    weights = by_trial["weights"].first()
    rows = []
    for trial in trials:
        seconds = store.seconds_of(trial) if trial.state in store.ENDED else {}
        rows.append(
            {"trial": trial.number, "state": trial.state.name}
            | _parameters(trial, parameters)
            | {name: means[name].get(trial.number) for name in means}
            | {f"seconds_{part}": took for part, took in seconds.items()}
            | {
                "survived": survived.get(trial.number),
                "images": counts.get(trial.number, 0),
                "started": _clock(trial.datetime_start),
                "finished": _clock(trial.datetime_complete),
                "reason": trial.user_attrs.get(store.REASON),
                "partial": trial.state == TrialState.PRUNED,
                "weights": weights.get(trial.number),
            }
        )
    return _table(rows, TRIALS, parameters, scorers)


def _clock(time) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _parameters(trial: FrozenTrial, names: tuple[str, ...]) -> dict[str, Any]:
    given = trial.system_attrs.get("fixed_params", {}) | trial.params
    return {name: store.tidy(given.get(name)) for name in names}


def with_held_out(results: Results) -> pd.DataFrame:
    """Return the trials with their figures on held-out prompts, empty where not checked: trials.csv."""
    rows = results.checks_of("held_out")
    found = rows.assign(ok=rows["verdict"] == "ok").groupby("trial")
    columns = {
        "held_out_survived": found["ok"].mean(),
        "held_out_defect": found["defect"].mean(),
        "held_out_images": found["ok"].count(),
    }
    if results.trials.empty:
        return results.trials.assign(**dict.fromkeys(columns))
    return results.trials.assign(**{name: results.trials["trial"].map(of) for name, of in columns.items()})


def with_roles(results: Results) -> pd.DataFrame:
    """Return all images, those of the checks below, with their role: images.csv."""
    images = results.images.assign(role="search")
    table = pd.concat([images, results.checks], ignore_index=True) if len(results.checks) else images
    return table.reindex(columns=names(IMAGES_CSV, results.parameters, results.scorers))
