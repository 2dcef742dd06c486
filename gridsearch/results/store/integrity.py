"""The check of a study, which may be from anywhere: it has the types that this program writes.

Not whether the figures are true.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import pydantic
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter, create_model, with_config
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import TypedDict

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.faults import fault_of
from gridsearch.base.words import is_number
from gridsearch.experiment.experiment import EXPERIMENT_TABLES, Experiment
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import choices_of
from gridsearch.experiment.wording import in_words
from gridsearch.results.columns import Text
from gridsearch.results.shared.retry import sqlite_code
from gridsearch.results.store.facts import STRICT, Facts, StoredImage
from gridsearch.results.store.judgements import Judgement


@with_config(STRICT)
class StoredBatch(TypedDict):
    """Images that were kept at once, and what they took."""

    images: list[StoredImage]
    seconds: dict[str, float]


def _model_of(kind: type) -> Any:
    """Return the model of a dataclass as it is kept; earlier versions may lack what has a default."""
    hints = get_type_hints(kind, include_extras=True)
    needed = {one.name for one in fields(kind) if one.default_factory is MISSING}
    kept: dict[str, Any] = {name: (hint, ... if name in needed else None) for name, hint in hints.items()}
    return create_model(kind.__name__, __config__=STRICT, **kept)


_OF_FACTS, _OF_JUDGEMENT = TypeAdapter(_model_of(Facts)), TypeAdapter(_model_of(Judgement) | None)
_IMAGES, _BATCH = TypeAdapter(list[StoredImage]), TypeAdapter(StoredBatch)
_SECONDS, _TEXT = TypeAdapter(dict[str, float], config=STRICT), TypeAdapter(Text | None, config=STRICT)
_PARAMETERS = TypeAdapter(dict[str, float | int | str | bool | None], config=STRICT)


@contextlib.contextmanager
def damage_is_named(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while a study is read into a named error: damage, or what may pass by itself."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, KeyError, ValueError, TypeError, AttributeError) as error:
        if fault := fault_of(error, folder):
            raise fault from error
        if sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RunFailed(
                "The study cannot be read now.",
                where=folder,
                why=_first_cause(error),
                fix="Close what else has it open, and try again.",
            ) from error
        raise BadInput("The study is damaged.", where=folder, why=_first_cause(error)) from error


def _first_cause(error: BaseException) -> str:
    """Return the first cause in a line: Optuna and SQLAlchemy wrap it in words of their own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def require_tables_only(database: Path) -> None:
    """Require that a database holds tables alone: a view in a table's place can be made to never end."""
    asked = "SELECT type FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
            found = connection.execute(asked).fetchone()
    except sqlite3.OperationalError:
        return  # it is busy, or cannot be opened: the read that follows says so
    except sqlite3.DatabaseError as error:
        raise BadInput("The study is damaged.", where=database, why=str(error)) from None
    if found:
        raise BadInput("The study is damaged.", where=database, why=f"It holds a {found[0]!r:.20}.")


def require_valid(
    facts: Any, trials: Iterable[FrozenTrial], checks: Iterable[FrozenTrial], judgements: Mapping[str, Any]
) -> None:
    """Require that what a study holds, its facts as plain data, has the types that are kept."""
    _require(_OF_FACTS, facts, "its facts")
    kinds = _kinds(facts["experiment"])
    for trial in trials:
        _require_trial(trial, f"trial {trial.number}", kinds)
    for check in checks:
        _require_trial(check, f"check {check.number}", {})
        if check.state == TrialState.COMPLETE:
            said, parameters = check.user_attrs, check.user_attrs.get("parameters")
            if not isinstance(said.get("role"), str) or type(said.get("of")) is not int:
                raise _damaged(f"check {check.number}", "it does not say of what it is")
            _require(_PARAMETERS, parameters, f"the parameters of check {check.number}")
            _require_kinds(parameters or {}, kinds, f"check {check.number}")
    for key, judgement in judgements.items():
        _require(_OF_JUDGEMENT, judgement, key[:60])


def _require_trial(trial: FrozenTrial, where: str, kinds: Mapping[str, bool]) -> None:
    attrs = trial.user_attrs
    for key, value in attrs.items():
        if key.startswith("rung "):
            _require(_BATCH, value, f"{key[:60]} of {where}")
    _require(_IMAGES, attrs.get("images", []), f"the images of {where}")
    _require(_SECONDS, attrs.get("seconds", {}), f"the seconds of {where}")
    _require(_TEXT, attrs.get("reason"), f"the reason of {where}")
    fixed = trial.system_attrs.get("fixed_params", {})
    _require(_PARAMETERS, fixed, f"the parameters of {where}")
    _require_kinds(fixed | trial.params, kinds, where)


def _kinds(settings: Mapping[str, Any]) -> dict[str, bool]:
    """Return searched parameter -> whether its values are numbers."""
    try:
        searched = Experiment.model_validate(settings).searched()
    except pydantic.ValidationError as error:
        raise bad_key(error, "the study's experiment", EXPERIMENT_TABLES) from None
    return {name: not isinstance(choices_of(values)[0], str) for name, values in searched.items()}


def _require_kinds(parameters: Mapping[str, Any], kinds: Mapping[str, bool], where: str) -> None:
    for name, are_numbers in kinds.items():
        value = parameters.get(name)
        if value is not None and is_number(value) != are_numbers:
            raise _damaged(f"{name} of {where}", f"it is {value!r:.60}")


def _require(kind: TypeAdapter, value: Any, where: str) -> None:
    try:
        kind.validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise _damaged(where, f"{place}: {in_words(first)}"[:200]) from None


def _damaged(where: str, why: str) -> BadInput:
    return BadInput("The study is damaged.", where=where, why=why)
