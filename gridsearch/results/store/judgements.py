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
from gridsearch.results.shared.retry import driver_message

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
        raise RunFailed(
            "The judgement could not be kept.", where=folder, why=driver_message(error)
        ) from error


def judgements_of(attrs: Mapping[str, Any]) -> tuple[Judgement, ...]:
    """Return the judgements among a study's attributes, in the order in which they were made."""
    kept = [(key, said) for key, said in store.judgements_in(attrs).items() if said is not None]
    return tuple(Judgement(**said) for _, said in sorted(kept, key=lambda one: (one[1]["time"], one[0])))
