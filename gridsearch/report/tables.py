"""study.db -> the tables of a run: a row per trial, a row per image."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from gridsearch import store
from gridsearch.experiment import Experiment
from gridsearch.files import write_atomic
from gridsearch.report.checked import with_held_out, with_roles
from gridsearch.report.results import METRICS, Results
from gridsearch.spreadsheet import to_csv

TRIAL_SECONDS = ("merge", "render", "score")
CASE = ("prompt_id", "prompt", "seed", "prediction_type")
DRAWN = ("seconds", "unet_calls", "unet_calls_saved", "stopped", "stopped_because", "file", "film")
JUDGED = ("verdict", "defect", *METRICS, "dial", "reason", *DRAWN)


def load_results(folder: Path) -> Results:
    """Everything a results folder holds, finished or not.

    Raises:
        BadInput: the folder holds no study.
    """
    facts, found = store.read_study(folder)
    names = _searched(facts.experiment)
    scorers = tuple(scorer["name"] for scorer in facts.experiment["score"].get("scorer", ()))
    images = _images(found, names, scorers)
    complete = sum(trial.state == TrialState.COMPLETE for trial in found)
    remaining = store.remaining(facts, found)
    return Results(
        name=facts.experiment["name"],
        folder=folder,
        trials=_trials(found, names, scorers, images),
        images=images,
        references=pd.DataFrame(
            map(_flat, facts.references or []), columns=["model", *CASE, *_judged(scorers)]
        ),
        parameters=names,
        settings=facts.experiment,
        models=facts.models,
        versions=facts.versions,
        finished=remaining == 0,
        planned=complete + remaining,
        file=facts.file,
        extras=facts.extras,
        provenance=tuple(facts.drawing.get("settings", ())),
    )


def _searched(experiment: Mapping) -> tuple[str, ...]:
    return tuple(Experiment.model_validate(experiment).searched())


def _judged(scorers: tuple[str, ...]) -> list[str]:
    """The columns of what is thought of an image, plug-in scorers' beside the metrics."""
    return [*JUDGED[: JUDGED.index("dial")], *scorers, *JUDGED[JUDGED.index("dial") :]]


def _flat(row: Mapping) -> dict:
    return {**row, **row.get("scorers", {})}


def _images(trials: Iterable[FrozenTrial], names: tuple[str, ...], scorers: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {"trial": trial.number, **_parameters(trial, names), **_flat(row)}
        for trial in trials
        if trial.state == TrialState.COMPLETE
        for row in trial.user_attrs[store.IMAGES]
    ]
    columns = dict.fromkeys(["trial", *names, *CASE, *_judged(scorers)])
    return _with_numbers(pd.DataFrame(rows, columns=list(columns)), scorers)


def _trials(
    trials: Iterable[FrozenTrial], names: tuple[str, ...], scorers: tuple[str, ...], images: pd.DataFrame
) -> pd.DataFrame:
    by_trial = images.groupby("trial")
    means = by_trial[["defect", *METRICS, *scorers]].mean()
    survived = by_trial["verdict"].agg(lambda verdicts: (verdicts == "ok").mean())
    counts = by_trial.size()
    rows = []
    for trial in trials:
        seconds = trial.user_attrs.get(store.SECONDS, {})
        rows.append(
            {"trial": trial.number, "state": trial.state.name}
            | _parameters(trial, names)
            | {
                "defect": means["defect"].get(trial.number),
                "survived": survived.get(trial.number),
                "images": counts.get(trial.number, 0),
            }
            | {name: means[name].get(trial.number) for name in (*METRICS, *scorers)}
            | {f"seconds_{part}": seconds.get(part) for part in TRIAL_SECONDS}
            | {"started": _clock(trial.datetime_start), "finished": _clock(trial.datetime_complete)}
            | {"reason": trial.user_attrs.get(store.REASON)}
        )
    columns = ["trial", "state", *names, "defect", "survived", "images", *METRICS, *scorers]
    columns += [*(f"seconds_{part}" for part in TRIAL_SECONDS), "started", "finished", "reason"]
    return _with_numbers(pd.DataFrame(rows, columns=columns), scorers)


def _clock(time) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _parameters(trial: FrozenTrial, names: tuple[str, ...]) -> dict:
    given = trial.system_attrs.get("fixed_params", {}) | trial.params
    return {name: store.tidy(given.get(name)) for name in names}


def _with_numbers(table: pd.DataFrame, scorers: tuple[str, ...]) -> pd.DataFrame:
    """A column of numbers and Nones holds objects; make the Nones NaN."""
    numeric = [name for name in ("defect", "survived", *METRICS, *scorers, "dial") if name in table]
    return table.assign(**{name: pd.to_numeric(table[name]) for name in numeric})


def write_tables(results: Results) -> None:
    """Write trials.csv and images.csv into the results folder."""
    write_atomic(results.folder / "trials.csv", to_csv(with_held_out(results)))
    write_atomic(results.folder / "images.csv", to_csv(with_roles(results)))
