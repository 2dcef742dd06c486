"""study.db: the Optuna study of a results folder, the one source of truth of a run.

A *study* is one experiment's search; a *trial* is one set of parameters in it, with the rows of its images.
Tables, sheet and report are made from it and can be made again at any time.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.samplers import RandomSampler
from sqlalchemy import event

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


def create_study(folder: Path, facts: Facts, file: str = FILE) -> optuna.Study:
    """Make a results folder with an empty study in it, or start over one that never got its first record."""
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=STUDY,
        storage=_storage(folder / file),
        direction="minimize",
        sampler=RandomSampler(seed=0),
        load_if_exists=True,
    )
    save_facts(study, facts)
    return study


def open_study(folder: Path) -> optuna.Study:
    """The study of a results folder.

    Raises:
        BadInput: the folder holds no study.
    """
    if not (folder / FILE).is_file():
        raise BadInput(
            "This folder holds no results.",
            where=folder / FILE,
            fix="Name a folder that `gridsearch run` has made.",
        )
    # Optuna would otherwise choose TPE and a median pruner without a word; the search sets its own sampler.
    return optuna.load_study(
        study_name=STUDY,
        storage=_storage(folder / FILE),
        sampler=RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )


def has_study(folder: Path) -> bool:
    """Whether a run has been started in this folder."""
    return (folder / FILE).is_file() and load_facts_or_none(open_study(folder)) is not None


def close(study: optuna.Study) -> None:
    """Write everything into the database file itself and let go of it."""
    engine = study._storage.engine
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """SQLite in write-ahead mode: a reader does not stop the run, and a kill leaves a whole database."""
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{path.resolve()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )

    @event.listens_for(storage.engine, "connect")
    def _write_ahead(connection, _record):
        connection.execute("PRAGMA journal_mode=WAL")

    return storage


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


def load_facts_or_none(study: optuna.Study) -> Facts | None:
    """None where a kill came between the making of the study and its first record."""
    return load_facts(study) if _FACTS in study.user_attrs else None


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
