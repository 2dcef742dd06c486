"""study.db: the Optuna study of a results folder, the one source of truth of a run.

A *study* is one experiment's search; a *trial* is one set of parameters in it, with the rows of its images.
Tables, sheet and report are made from it and can be made again at any time.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from gridsearch.errors import BadInput, RunFailed

FILE = "study.db"
STUDY = "gridsearch"
_FACTS = "facts"
IMAGES = "images"
SECONDS = "seconds"
REASON = "reason"

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Facts:
    """What holds for the whole run, kept with the study."""

    experiment: dict  # the experiment as resolved
    models: dict[str, dict]  # name -> path, sha256, short_hash, bytes, dtype, prediction type and its source
    versions: dict[str, str]
    references: list[dict] | None  # a row per reference image; None until they are drawn
    planned: int  # number of trials


def write_study(folder: Path, facts: Facts, trials: Iterable[FrozenTrial] = ()) -> None:
    """Put a whole new study in a folder, in the place of any that is there.

    It is made beside its place and renamed, so that a kill leaves either the old one or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{FILE}.part"
    for leftover in folder.glob(f"{beside.name}*"):
        leftover.unlink()
    with _database(beside) as storage:
        study = optuna.create_study(study_name=STUDY, storage=storage, direction="minimize")
        save_facts(study, facts)
        study.add_trials(trials)
    os.replace(beside, folder / FILE)


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


def read_study(folder: Path) -> tuple[Facts, list[FrozenTrial]]:
    """What a results folder holds now.

    Raises:
        BadInput: the folder holds no study.
    """
    with open_study(folder) as study:
        return load_facts(study), study.get_trials(deepcopy=False)


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


@contextlib.contextmanager
def _database(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    """SQLite in write-ahead mode: a reader does not stop the run, and a kill leaves a whole database."""
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()  # the last one out folds the write-ahead log into the file


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One run a folder. The lock is the operating system's: it goes with the process, however that ends."""
    out.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunFailed(
            "Another run is working in this folder.", where=out, fix="Wait for it, or use --out."
        ) from None
    with lock:
        yield


def save_facts(study: optuna.Study, facts: Facts) -> None:
    study.set_user_attr(_FACTS, json_safe(asdict(facts)))


def load_facts(study: optuna.Study) -> Facts:
    return Facts(**study.user_attrs[_FACTS])


def record(trial: optuna.Trial, images: list[dict], seconds: Mapping[str, float]) -> None:
    """Keep a trial's rows; they are stored before the trial is told complete."""
    trial.set_user_attr(IMAGES, json_safe(images))
    trial.set_user_attr(SECONDS, json_safe(dict(seconds)))


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
