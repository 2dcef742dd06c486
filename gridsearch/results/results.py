"""The results of a run as tables, from its study: the input of the analysis and of the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import case_id, case_of
from gridsearch.results import columns, store
from gridsearch.results.likeness import References, distance_of, sound_references, with_likeness
from gridsearch.results.store.artifacts import gather, rows_with_pictures
from gridsearch.results.store.judgements import judgements_of


def scorer_names(settings: Mapping) -> tuple[str, ...]:
    """Return the columns of an experiment's plug-in scorers, its content, and what its features tell."""
    asked = settings.get("score", {})
    content = (columns.CONTENT,) if asked.get(columns.CONTENT) else ()
    likeness = columns.LIKENESS if asked.get(columns.FEATURES) else ()
    tastes = columns.TASTES if asked.get(columns.TASTE) else ()
    return (*(scorer["name"] for scorer in asked.get("scorer", ())), *content, *likeness, *tastes)


@dataclass(frozen=True)
class Results:
    """One experiment's results.

    A metric that an image does not have (the blur of a blank one) is NaN, as is what an earlier version did
    not keep.

    Attributes:
        name: the experiment's name.
        folder: the results folder; every `file` below is relative to it.
        facts: the experiment, its files, and how the images were drawn.
        trials: a row per trial, with the columns `columns.TRIALS`.
        images: a row per image, those of stopped trials too, with the columns `columns.IMAGES`.
        references: the parents' own renders, with the columns `columns.REFERENCES`.
        parameters: the searched parameters' names, numeric and categorical.
        finished: every planned trial is complete.
        planned: how many trials there will be, done ones included.
        checks: the images that check a trial, with the columns `columns.CHECKED_IMAGES`. The role is
            "held_out" for a leader's images of the prompts that were kept apart, "repeat" for a second
            drawing of the best trial's. Empty where nothing was checked.
        judgements: a person's answers to blind pairs, by time: a row per `store.judgements.Judgement`.
            Without columns where nothing was judged.
        notes: what the reader should know first.
    """

    name: str
    folder: Path
    facts: store.Facts
    trials: pd.DataFrame
    images: pd.DataFrame
    references: pd.DataFrame
    parameters: tuple[str, ...]
    finished: bool
    planned: int
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)
    judgements: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The experiment as resolved; nested, JSON-able."""
        return self.facts.experiment

    @property
    def family(self) -> str:
        """The name of the models' family; that of SDXL in a run from before there were others."""
        return str(self.settings.get("family", SDXL.name))

    @property
    def scorers(self) -> tuple[str, ...]:
        """The columns of the plug-in scorers, the content, and what the features tell."""
        return scorer_names(self.settings)

    def checks_of(self, role: str) -> pd.DataFrame:
        """Return the rows of one kind of check; none where there is no check at all."""
        return self.checks[self.checks["role"] == role] if len(self.checks) else self.images.iloc[:0]


def load_results(folder: Path) -> Results:
    """Load all that a results folder holds, finished or not; what workers elsewhere have drawn is fetched.

    Raises:
        BadInput: the folder holds no study.
        RunFailed: the database, or where the images lie, does not answer.
    """
    pictures = store.pictures_in(folder)
    stored = store.read_study(folder)
    rows = [*rows_with_pictures(stored)]
    gather(folder, rows)
    notes = store.unrecorded_note(pictures, stored, folder), store.missing_note(rows, folder)
    return replace(results_of(stored, folder), notes=tuple(filter(None, notes)))


def results_of(stored: store.Stored, folder: Path) -> Results:
    """Return what is stored as tables."""
    facts, trials = stored.facts, stored.trials
    experiment = Experiment.model_validate(facts.experiment)
    parameters, scorers = tuple(experiment.searched()), scorer_names(facts.experiment)
    like = sound_references(facts.references or (), experiment.reference_models())
    ended = [trial for trial in trials if trial.state in store.ENDED]
    drawn = [({"trial": trial.number, **_parameters(trial, parameters)}, trial) for trial in ended]
    checks = [
        ({"role": said["role"], "trial": said["of"], **said["parameters"]}, check)
        for check in stored.checks
        if check.state == TrialState.COMPLETE and (said := check.user_attrs)
    ]
    images = _table(_image_rows(drawn, facts, like), columns.IMAGES, parameters, scorers)
    remaining = store.remaining(facts, trials, stored.done)
    return Results(
        name=facts.experiment["name"],
        folder=folder,
        facts=facts,
        trials=_trials(trials, parameters, scorers, images, like if experiment.score.features else None),
        images=images,
        references=_table(facts.references or (), columns.REFERENCES, (), scorers),
        parameters=parameters,
        finished=remaining == 0,
        planned=len(ended) + remaining,
        checks=_table(_image_rows(checks, facts, like), columns.CHECKED_IMAGES, parameters, scorers),
        judgements=pd.DataFrame([asdict(made) for made in judgements_of(stored.judgements)]),
    )


def _table(
    rows: Iterable[Mapping],
    of: Sequence[columns.Column],
    parameters: tuple[str, ...],
    scorers: tuple[str, ...],
) -> pd.DataFrame:
    """Make a table of rows; a missing number is NaN, for a column of numbers and Nones would hold objects."""
    rows = [{**row, **row.get("scorers", {})} for row in rows]
    table = pd.DataFrame(rows, columns=columns.names(of, parameters, scorers))
    return table.assign(**{name: pd.to_numeric(table[name]) for name in columns.number_names(of, scorers)})


def _image_rows(
    trials: Iterable[tuple[Mapping, FrozenTrial]], facts: store.Facts, like: References
) -> list[dict[str, Any]]:
    """Return a row per image with what is said of its trial, a trial's in the experiment's order."""
    cases = [case_id(p["id"], seed) for p in facts.experiment.get("prompt", ()) for seed in p["seeds"]]
    order = {case: i for i, case in enumerate(cases)}
    return [
        {**said, **with_likeness(row, like)}
        for said, trial in trials
        for row in sorted(store.images_of(trial), key=lambda row: order.get(case_of(row), 0))
    ]


def _trials(
    trials: Iterable[FrozenTrial],
    parameters: tuple[str, ...],
    scorers: tuple[str, ...],
    images: pd.DataFrame,
    like: References | None,
) -> pd.DataFrame:
    by_trial = images.groupby("trial")
    means = by_trial[columns.names(columns.AVERAGED, scorers=scorers)].mean()
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
            | ({columns.SET_DISTANCE: distance_of(store.images_of(trial), like)} if like is not None else {})
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
    together = () if like is None else (columns.SET_DISTANCE,)
    return _table(rows, columns.TRIALS, parameters, (*scorers, *together))


def _clock(time) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _parameters(trial: FrozenTrial, names: tuple[str, ...]) -> dict[str, Any]:
    given = trial.system_attrs.get("fixed_params", {}) | trial.params
    return {name: store.tidy(given.get(name)) for name in names}


def with_held_out(results: Results) -> pd.DataFrame:
    """Return the trials with their figures on held-out prompts, empty where not checked: trials.csv."""
    rows = results.checks_of("held_out")
    found = rows.assign(ok=rows["verdict"] == "ok").groupby("trial")
    figures = {
        "held_out_survived": found["ok"].mean(),
        "held_out_defect": found["defect"].mean(),
        "held_out_images": found["ok"].count(),
    }
    return results.trials.assign(**{name: results.trials["trial"].map(of) for name, of in figures.items()})


def with_roles(results: Results) -> pd.DataFrame:
    """Return all images, those of the checks below, with their role: images.csv."""
    images = results.images.assign(role="search")
    table = pd.concat([images, results.checks], ignore_index=True) if len(results.checks) else images
    return table.reindex(columns=columns.names(columns.IMAGES_CSV, results.parameters, results.scorers))
