"""study.db: the Optuna study of a results folder, the one source of truth of a run.

A *study* is one experiment's search; a *trial* is one set of parameters in it, with the rows of its images.
Tables, sheet and report are made from it and can be made again at any time.
"""

import contextlib
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL

from gridsearch.errors import BadInput, Busy, RunFailed
from gridsearch.experiment import Render
from gridsearch.searching import Search

FILE = "study.db"
STUDY = "gridsearch"
CHECKS = "gridsearch-checks"
_FACTS = "facts"
_IMAGES, _SECONDS = "images", "seconds"  # of a whole trial, as earlier versions kept them
_RUNG = "rung "  # and its number: its images and seconds, as they came
SUMMARY = "summary"
WEIGHTS = "weights"
REASON = "reason"
WHOLE = "whole"  # of a trial that is drawn further: nothing stopped it before
DONE = "done"  # of a study: why it needs no further trial
JUDGEMENT = "judgement "  # of a study, and its session and place: what a person said (see `judgements`)

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Facts:
    """What holds for the whole run, kept with the study."""

    experiment: dict  # the experiment as resolved
    models: dict[str, dict]  # name -> path, sha256, short_hash, bytes, dtype, prediction type and its source
    versions: dict[str, str]
    references: list[dict] | None  # a row per reference image; None until they are drawn
    planned: int  # number of trials
    drawing: dict  # device, dtype, and the hash of the component configs
    file: str  # the experiment's file
    extras: dict[str, dict] = field(
        default_factory=dict
    )  # adapters and a VAE's own file: path, sha256, bytes
    order: list[str] = field(default_factory=list)  # ids of the search's cases as they are drawn
    held_out: list[str] = field(default_factory=list)  # ids of prompts kept apart from the search
    parents: dict[str, str] = field(default_factory=dict)  # model -> the fingerprint of its weights alone


def write_study(
    folder: Path,
    facts: Facts,
    trials: Iterable[FrozenTrial] = (),
    checks: Iterable[FrozenTrial] = (),
    done: str | None = None,
) -> None:
    """Put a whole new study in a folder, in the place of any that is there, whose judgements it keeps.

    It is made beside its place and renamed, so that a kill leaves either the old one or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with in_place(folder):
        _write_study(folder, facts, trials, checks, done)


def _write_study(
    folder: Path,
    facts: Facts,
    trials: Iterable[FrozenTrial],
    checks: Iterable[FrozenTrial],
    done: str | None,
) -> None:
    beside = folder / f".{FILE}.part"
    for leftover in folder.glob(f"{beside.name}*"):
        leftover.unlink()
    judgements = _judgements(folder)
    with _database(beside) as storage:
        directions = ["minimize"] * len(objectives_of(facts))
        study = optuna.create_study(study_name=STUDY, storage=storage, directions=directions)
        save_facts(study, facts)
        study.set_user_attr(DONE, done)
        for key, judgement in judgements.items():
            study.set_user_attr(key, judgement)
        study.add_trials(trials)
        checks_of(study).add_trials(checks)
    _fold_log(folder / FILE)
    os.replace(beside, folder / FILE)


def _judgements(folder: Path) -> dict[str, dict | None]:
    if not has_study(folder):
        return {}
    with open_study(folder) as study:
        return judgements_in(study.user_attrs)


def judgements_in(attrs: Mapping[str, Any]) -> dict[str, dict | None]:
    """The attributes of a study that are judgements; None is one that was taken back."""
    return {key: value for key, value in attrs.items() if key.startswith(JUDGEMENT)}


@contextlib.contextmanager
def in_place(folder: Path) -> Iterator[None]:
    """For what is added to a study from beside its run: while it lasts, no other study takes its place."""
    with filelock.FileLock(folder / f".{FILE}.lock", timeout=60):
        yield


def _fold_log(path: Path) -> None:
    """Fold a database's write-ahead log into it: left behind, it would be taken for the new file's log.

    Raises:
        RunFailed: another program has the database open.
    """
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            raise RunFailed(
                "Another program has the study open.",
                where=path,
                why=str(error),
                fix="Close the dashboard or database browser and try again.",
            ) from None


@contextlib.contextmanager
def open_study(folder: Path) -> Iterator[optuna.Study]:
    """The study of a results folder, to be searched further.

    Raises:
        BadInput: the folder holds no study.
    """
    require_study(folder)
    with _database(folder / FILE) as storage:
        # Optuna would otherwise choose TPE and a median pruner without a word; the search sets its sampler.
        yield optuna.load_study(
            study_name=STUDY,
            storage=storage,
            sampler=RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )


def objectives_of(facts: Facts) -> tuple[str, ...]:
    """What the study minimises."""
    return Search.model_validate(facts.experiment.get("search", {})).objectives()


def checks_of(study: optuna.Study) -> optuna.Study:
    """What is drawn to check the search: it lies beside it, so that no sampler learns from it."""
    return optuna.create_study(
        study_name=CHECKS, storage=study._storage, direction="minimize", load_if_exists=True
    )


def _checks_in(study: optuna.Study) -> list[FrozenTrial]:
    """Those that there are: to read a study adds nothing to it."""
    try:
        checks = study._storage.get_study_id_from_name(CHECKS)
    except KeyError:
        return []
    return study._storage.get_all_trials(checks, deepcopy=False)


def _require_database(path: Path) -> None:
    """SQLite's files say what they are in their first 16 bytes (https://www.sqlite.org/fileformat.html)."""
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise BadInput(
                "The study is damaged.", where=path, why="It is no SQLite database.", fix="Delete it."
            )


@dataclass(frozen=True)
class Stored:
    """What a results folder holds.

    Attributes:
        trials: of the search.
        checks: images that check it: the leaders on held-out prompts, the best once more.
        done: why the search needs no further trial; None while it does.
        judgements: what a person said of pairs, by their keys (see `judgements.judgements_of`).
    """

    facts: Facts
    trials: list[FrozenTrial]
    checks: list[FrozenTrial]
    done: str | None
    judgements: dict[str, dict | None] = field(default_factory=dict)


def read_study(folder: Path) -> Stored:
    """What a results folder holds now.

    Raises:
        BadInput: the folder holds no study.
    """
    with open_study(folder) as study:
        return stored(study)


def stored(study: optuna.Study) -> Stored:
    """What an open study holds now."""
    return Stored(
        load_facts(study),
        study.get_trials(deepcopy=False),
        _checks_in(study),
        study.user_attrs.get(DONE),
        judgements_in(study.user_attrs),
    )


def has_study(folder: Path) -> bool:
    """Whether a run has been started in this folder."""
    return (folder / FILE).is_file()


def require_study(folder: Path) -> None:
    if not has_study(folder):
        raise BadInput(
            "This folder holds no results.",
            where=folder / FILE,
            fix="Name a folder that `gridsearch run` has made.",
        )
    _require_database(folder / FILE)


@contextlib.contextmanager
def _database(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    """SQLite in write-ahead mode: a reader does not stop the run, and a kill leaves a whole database.

    Where nothing can be written, nobody else writes: the file is read as it lies there, without its log.
    """
    writable = os.access(path.parent, os.W_OK)
    place, query = str(path.resolve()), {}
    if not writable:
        place, query = path.resolve().as_uri(), {"mode": "ro", "immutable": "1", "uri": "true"}
    url = URL.create("sqlite", database=place, query=query).render_as_string()
    storage = optuna.storages.RDBStorage(
        url, engine_kwargs={"connect_args": {"timeout": 60}}, skip_table_creation=not writable
    )
    if writable:
        with storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()  # the last one out folds the write-ahead log into the file


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One run a folder. The lock is the operating system's: it goes with the process, however that ends.

    Raises:
        Busy: another run has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(out / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise Busy(
            "Another run is working in this folder.", where=out, fix="Wait for it, or use --out."
        ) from None


def save_facts(study: optuna.Study, facts: Facts) -> None:
    study.set_user_attr(_FACTS, json_safe(asdict(facts)))


def load_facts(study: optuna.Study) -> Facts:
    facts = Facts(**study.user_attrs[_FACTS])
    # Before components could be named, all of a model was merged.
    earlier = {"adapters": {}, "components": {"text_encoders": "merged", "vae": "merged"}}
    render = Render().model_dump(mode="json") | facts.experiment.get("render", {})
    return replace(facts, experiment=earlier | facts.experiment | {"render": render})


def remaining(facts: Facts, trials: Sequence[FrozenTrial], done: str | None = None) -> int:
    """How many trials are still to be done: those queued, and else those short of the number.

    Args:
        done: why the search needs no further one, where it does not.
    """
    states = [trial.state for trial in trials]
    queued = states.count(TrialState.WAITING) + states.count(TrialState.RUNNING)
    if facts.experiment["search"]["sampler"] == "grid":
        # A kill while the grid was being queued leaves fewer trials than planned.
        return max(queued, facts.planned - len(states))
    if done:
        return queued
    # `window` ends by itself: how many trials that takes is a guess
    least = 1 if facts.experiment["search"]["sampler"] == "window" else 0
    return max(queued, least, facts.planned - sum(state in ENDED for state in states))


# -- a trial's rows


def record_rung(
    trial: optuna.Trial, number: int, images: Sequence[Mapping], seconds: Mapping[str, float]
) -> None:
    """Keep a rung of a trial: rows of images that are safe, and what they took."""
    trial.set_user_attr(f"{_RUNG}{number:04}", json_safe({"images": images, "seconds": seconds}))


def rungs_of(trial: FrozenTrial) -> int:
    return len(rungs(trial))


def rungs(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes that hold a trial's rungs."""
    return {key: value for key, value in trial.user_attrs.items() if key.startswith(_RUNG)}


def images_of(trial: FrozenTrial) -> list[dict]:
    """A row per image, in the order in which they were drawn."""
    return [row for rung in _kept(trial) for row in rung["images"]]


def seconds_of(trial: FrozenTrial) -> dict[str, float]:
    """How long each part took."""
    found: dict[str, float] = {}
    for rung in _kept(trial):
        for part, seconds in rung["seconds"].items():
            found[part] = found.get(part, 0.0) + seconds
    return found


def _kept(trial: FrozenTrial) -> list[dict]:
    attrs = trial.user_attrs
    earlier = [{"images": attrs[_IMAGES], "seconds": attrs.get(_SECONDS, {})}] if _IMAGES in attrs else []
    return earlier + [rung for _, rung in sorted(rungs(trial).items())]


def with_images(trial: FrozenTrial, images: Sequence[Mapping]) -> dict:
    """A trial's attributes with other rows for its images, in one rung."""
    kept = (_IMAGES, _SECONDS, *rungs(trial))
    others = {key: value for key, value in trial.user_attrs.items() if key not in kept}
    rung = {"images": images, "seconds": seconds_of(trial)}
    return others | ({f"{_RUNG}0000": json_safe(rung)} if images else {})


def copied(trial: FrozenTrial, **changes: Any) -> FrozenTrial:
    """A trial with some of its parts changed, which Optuna does not do to one that has ended."""
    parts = (
        "state",
        "values",
        "params",
        "distributions",
        "user_attrs",
        "system_attrs",
        "intermediate_values",
    )
    copy = create_trial(**{name: getattr(trial, name) for name in parts} | changes)
    copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copy


def json_safe(value: Any) -> Any:
    """A NaN or an infinity as None, and a path as text: what every JSON reader understands."""
    if isinstance(value, Mapping):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return json.loads(json.dumps(value))


def tidy(value: Any) -> Any:
    """A parameter without the dust of binary arithmetic."""
    return round(value, 10) if isinstance(value, float) else value
