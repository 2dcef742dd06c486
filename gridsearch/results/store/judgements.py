"""A person's judgements of blind pairs, kept as attributes of the study.

Each judgement is an attribute of its own, so that a run which goes on beside it writes none of them over.
`store.write_study` carries them into a study that takes the place of another.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from gridsearch.base.errors import RunFailed
from gridsearch.results import store

Choice = Literal["first", "second", "equal"]


@dataclass(frozen=True)
class Judgement:
    """One blind pair: two trials' images of the same case.

    Attributes:
        first, second: the trials whose images stood left and right.
        prompt_id, seed: the case.
        answer: which was preferred.
        time: ISO 8601, with its time zone.
        session: the seed of the session.
    """

    first: int
    second: int
    prompt_id: str
    seed: int
    answer: Choice
    time: str
    session: int


def save_judgement(folder: Path, place: int, session: int, judgement: Judgement | None) -> None:
    """Write a judgement at its place in a session, on the disk when this returns; None takes it back.

    Optuna deletes no attribute, so one that is taken back is null from then on.

    Raises:
        RunFailed: the study cannot be written.
    """
    key = f"{store.JUDGEMENT}{session:08x} {place:04}"
    try:
        with store.replacement_lock(folder), store.open_study(folder) as study:
            study.set_user_attr(key, judgement and asdict(judgement))
    except (OSError, SQLAlchemyError, StorageInternalError) as error:
        raise RunFailed("The judgement could not be kept.", where=folder, why=_first_cause(error)) from error


def _first_cause(error: BaseException) -> str:
    """Return SQLite's own words: Optuna and SQLAlchemy wrap them in theirs."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def judgements_of(attrs: Mapping[str, Any]) -> tuple[Judgement, ...]:
    """Return the judgements among a study's attributes, in the order in which they were made."""
    kept = store.judgements_in(attrs)
    found = [(kept[key]["time"], key) for key in kept if kept[key] is not None]
    return tuple(Judgement(**kept[key]) for _, key in sorted(found))
