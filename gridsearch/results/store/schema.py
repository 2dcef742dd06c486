"""The check that a study's values are of the kinds that this program writes: it may come from anywhere.

Kinds are checked, not whether the figures are true. What an earlier version did not keep may be missing.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

import pydantic
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, with_config
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import TypedDict

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import EXPERIMENT_TABLES, Experiment
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import choices_of
from gridsearch.results.shared.retry import sqlite_code

_STRICT = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
_Number = Annotated[float, Field(ge=-1e12, le=1e12)] | None
Word = Annotated[str, Field(max_length=100_000)]
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**64)]


@with_config(_STRICT)
class _Row(TypedDict):
    """An image's row."""

    prompt_id: Word
    prompt: Word
    seed: _Whole
    file: Word
    verdict: Word
    defect: Annotated[float, Field(ge=0, le=1e6)]
    model: NotRequired[Word]
    prediction_type: NotRequired[Word | None]
    reason: NotRequired[Word | None]
    film: NotRequired[Word | None]
    digest: NotRequired[Word | None]
    stopped: NotRequired[Word | None]
    stopped_because: NotRequired[Word | None]
    weights: NotRequired[Word | None]
    finite: NotRequired[bool]
    unet_calls: NotRequired[_Whole | None]
    unet_calls_saved: NotRequired[_Whole | None]
    seconds: NotRequired[_Number]
    dial: NotRequired[_Number]
    blur: NotRequired[_Number]
    noise: NotRequired[_Number]
    contrast: NotRequired[_Number]
    clipped: NotRequired[_Number]
    colourfulness: NotRequired[_Number]
    entropy: NotRequired[_Number]
    scorers: NotRequired[dict[str, _Number]]
    trajectory: NotRequired[dict[str, list[float | bool | None]]]


@with_config(_STRICT)
class File(TypedDict):
    """A model's, an adapter's or a VAE's file."""

    path: Word
    sha256: Word
    bytes: NotRequired[_Whole]
    short_hash: NotRequired[Word]
    dtype: NotRequired[Word]
    layout: NotRequired[Word]
    prediction_type: NotRequired[Word]
    prediction_type_source: NotRequired[Word]
    prediction_type_conflicts: NotRequired[list[Word]]
    zero_terminal_snr: NotRequired[bool]
    metadata: NotRequired[dict[str, Word]]


@with_config(_STRICT)
class Drawing(TypedDict):
    settings: NotRequired[list[dict[str, Word]]]


@with_config(_STRICT)
class Said(TypedDict):
    """`store.Facts` as they are kept."""

    experiment: dict[str, JsonValue]
    models: dict[str, File]
    versions: dict[str, Word]
    references: list[_Row] | None
    planned: Annotated[int, Field(ge=0, lt=10**9)]
    drawing: Drawing
    file: Word
    extras: NotRequired[dict[str, File]]
    order: NotRequired[list[Word]]
    held_out: NotRequired[list[Word]]
    parents: NotRequired[dict[str, Word]]


@with_config(_STRICT)
class Rung(TypedDict):
    images: list[_Row]
    seconds: dict[str, float]


@with_config(_STRICT)
class Judged(TypedDict):
    first: _Whole
    second: _Whole
    prompt_id: Word
    seed: _Whole
    answer: Word
    time: Word
    session: _Whole


_FACTS, _ROWS, _RUNG = TypeAdapter(Said), TypeAdapter(list[_Row]), TypeAdapter(Rung)
_SECONDS, _WORD = TypeAdapter(dict[str, float], config=_STRICT), TypeAdapter(Word | None, config=_STRICT)
_PARAMETERS = TypeAdapter(dict[str, float | int | str | bool | None], config=_STRICT)
_JUDGED = TypeAdapter(Judged | None)


@contextlib.contextmanager
def damage_is_named(folder: Path) -> Iterator[None]:
    """Raise the errors of reading a study as named ones.

    Raises:
        BadInput: it cannot be understood: this program has not written it.
        RunFailed: it cannot be read now, though it may be whole.
    """
    try:
        yield
    except (SQLAlchemyError, OptunaError, KeyError, ValueError, TypeError, AttributeError) as error:
        if sqlite_code(error) in _FOR_NOW:
            raise RunFailed(
                "The study cannot be read now.",
                where=folder,
                why=_first_cause(error),
                fix="Close what else has it open, see to the disk, and try again.",
            ) from error
        raise BadInput("The study is damaged.", where=folder, why=_first_cause(error)) from error


# Errors of the machine, not of the file (https://www.sqlite.org/rescode.html).
_FOR_NOW = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
)


def _first_cause(error: BaseException) -> str:
    """Return the first cause in a line: Optuna and SQLAlchemy wrap it in words of their own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def require_tables_only(database: Path) -> None:
    """Check that a database holds tables alone: a view in a table's place can be made to never end.

    Raises:
        BadInput: it holds something else, or is no database.
    """
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
    """Check the values of a study.

    Args:
        facts: as plain data.

    Raises:
        BadInput: a value is not of the kind that is kept.
    """
    _require(_FACTS, facts, "its facts")
    kinds = _kinds(facts["experiment"])
    for trial in trials:
        _require_trial(trial, f"trial {trial.number}", kinds)
    for check in checks:
        _require_trial(check, f"check {check.number}", {})
        if check.state == TrialState.COMPLETE:
            said = check.user_attrs
            if not isinstance(said.get("role"), str) or type(said.get("of")) is not int:
                raise _damaged(f"check {check.number}", "it does not say of what it is")
            _require(_PARAMETERS, said.get("parameters"), f"the parameters of check {check.number}")
            _require_kinds(said["parameters"], kinds, f"check {check.number}")
    for key, judgement in judgements.items():
        _require(_JUDGED, judgement, key[:60])


def _require_trial(trial: FrozenTrial, where: str, kinds: Mapping[str, bool]) -> None:
    attrs = trial.user_attrs
    for key, value in attrs.items():
        if key.startswith("rung "):
            _require(_RUNG, value, f"{key[:60]} of {where}")
    _require(_ROWS, attrs.get("images", []), f"the images of {where}")
    _require(_SECONDS, attrs.get("seconds", {}), f"the seconds of {where}")
    _require(_WORD, attrs.get("reason"), f"the reason of {where}")
    fixed = trial.system_attrs.get("fixed_params", {})
    _require(_PARAMETERS, fixed, f"the parameters of {where}")
    _require_kinds(fixed | trial.params, kinds, where)


def _kinds(settings: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether a parameter's values are numbers, for each that is searched."""
    try:
        searched = Experiment.model_validate(settings).searched()
    except pydantic.ValidationError as error:
        raise bad_key(error, "the study's experiment", EXPERIMENT_TABLES) from None
    return {name: not isinstance(choices_of(values)[0], str) for name, values in searched.items()}


def _require_kinds(parameters: Mapping[str, Any], kinds: Mapping[str, bool], where: str) -> None:
    for name, are_numbers in kinds.items():
        value = parameters.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and is_number != are_numbers:
            raise _damaged(f"{name} of {where}", f"it is {value!r:.60}")


def _require(kind: TypeAdapter, value: Any, where: str) -> None:
    try:
        kind.validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise _damaged(where, f"{place}: {first['msg']}"[:200]) from None


def _damaged(where: str, why: str) -> BadInput:
    return BadInput("The study is damaged.", where=where, why=why)
