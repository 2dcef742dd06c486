"""study.db -> the tables of a run: a row per trial, a row per image."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import Search
from gridsearch.render.cases import case_id, case_of
from gridsearch.results import store
from gridsearch.results.results import METRICS, Results
from gridsearch.results.store.artifacts import gather, rows_with_pictures
from gridsearch.results.store.judgements import judgements_of

TRIAL_SECONDS = ("merge", "render", "score")
CASE = ("prompt_id", "prompt", "seed", "prediction_type")
DRAWN = (
    *("seconds", "unet_calls", "unet_calls_saved", "stopped", "stopped_because"),
    *("file", "film", "digest", "weights"),
)
JUDGED = ("verdict", "defect", *METRICS, "dial", "reason", *DRAWN)


def load_results(folder: Path) -> Results:
    """Everything a results folder holds, finished or not; what workers elsewhere have drawn is fetched.

    Raises:
        BadInput: the folder holds no study.
        RunFailed: the database, or where the images lie, does not answer.
    """
    stored = store.read_study(folder)
    gather(folder, rows_with_pictures(stored))
    return results_of(stored, folder)


def results_of(stored: store.Stored, folder: Path) -> Results:
    """What is stored, as tables."""
    facts, found = stored.facts, stored.trials
    names = _searched(facts.experiment)
    search = Search.model_validate(facts.experiment.get("search", {}))
    scorers = tuple(scorer["name"] for scorer in facts.experiment["score"].get("scorer", ()))
    place = _places(facts)
    images = _images(found, names, scorers, place)
    ended = sum(trial.state in store.ENDED for trial in found)
    remaining = store.remaining(facts, found, stored.done)
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
        planned=ended + remaining,
        file=facts.file,
        extras=facts.extras,
        provenance=tuple(facts.drawing.get("settings", ())),
        checks=_checks(stored.checks, names, scorers, place),
        parents=facts.parents,
        held_out=tuple(facts.held_out),
        objectives=search.objectives(),
        wanted_width=search.width,
        judgements=pd.DataFrame([asdict(made) for made in judgements_of(stored.judgements)]),
    )


def _places(facts: store.Facts) -> dict[str, int]:
    """Case -> its place in the experiment: rows of a trial stand in that order."""
    cases = [case_id(p["id"], seed) for p in facts.experiment.get("prompt", ()) for seed in p["seeds"]]
    return {case: i for i, case in enumerate(cases)}


def _searched(experiment: Mapping) -> tuple[str, ...]:
    return tuple(Experiment.model_validate(experiment).searched())


def _judged(scorers: tuple[str, ...]) -> list[str]:
    """The columns of what is thought of an image, plug-in scorers' beside the metrics."""
    return [*JUDGED[: JUDGED.index("dial")], *scorers, *JUDGED[JUDGED.index("dial") :]]


def _flat(row: Mapping) -> dict:
    return {**row, **row.get("scorers", {})}


def _images(
    trials: Iterable[FrozenTrial], names: tuple[str, ...], scorers: tuple[str, ...], place: Mapping
) -> pd.DataFrame:
    rows = [
        {"trial": trial.number, **_parameters(trial, names), **row}
        for trial in trials
        if trial.state in store.ENDED
        for row in _rows(trial, place)
    ]
    columns = dict.fromkeys(["trial", *names, *CASE, *_judged(scorers)])
    return _with_numbers(pd.DataFrame(rows, columns=list(columns)), scorers)


def _checks(
    checks: Iterable[FrozenTrial], names: tuple[str, ...], scorers: tuple[str, ...], place: Mapping
) -> pd.DataFrame:
    rows = [
        {"role": said["role"], "trial": said["of"], **said["parameters"], **row}
        for check in checks
        if check.state == TrialState.COMPLETE and (said := check.user_attrs)
        for row in _rows(check, place)
    ]
    columns = dict.fromkeys(["role", "trial", *names, *CASE, *_judged(scorers)])
    return _with_numbers(pd.DataFrame(rows, columns=list(columns)), scorers)


def _rows(trial: FrozenTrial, place: Mapping) -> list[dict]:
    rows = sorted(store.images_of(trial), key=lambda row: place.get(case_of(row), 0))
    return [_flat(row) for row in rows]


def _trials(
    trials: Iterable[FrozenTrial], names: tuple[str, ...], scorers: tuple[str, ...], images: pd.DataFrame
) -> pd.DataFrame:
    by_trial = images.groupby("trial")
    means = by_trial[["defect", *METRICS, *scorers]].mean()
    survived = by_trial["verdict"].agg(lambda verdicts: (verdicts == "ok").mean())
    counts = by_trial.size()
    weights = by_trial["weights"].first()
    rows = []
    for trial in trials:
        seconds = store.seconds_of(trial) if trial.state in store.ENDED else {}
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
            | {"partial": trial.state == TrialState.PRUNED, "weights": weights.get(trial.number)}
        )
    columns = ["trial", "state", *names, "defect", "survived", "images", *METRICS, *scorers]
    columns += [*(f"seconds_{part}" for part in TRIAL_SECONDS), "started", "finished", "reason"]
    columns += ["partial", "weights"]
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


def with_held_out(results: Results) -> pd.DataFrame:
    """The trials with their figures on held-out prompts; those are empty where nothing was checked."""
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
    """All images, those of the checks below, with the column role: search, held_out or repeat."""
    images = results.images.assign(role="search")
    table = pd.concat([images, results.checks], ignore_index=True) if len(results.checks) else images
    names = [name for name in table if name != "role"]
    return table[[names[0], "role", *names[1:]]]
