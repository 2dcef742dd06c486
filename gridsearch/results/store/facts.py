"""The attributes of a study: the facts of its run, a person's judgements of blind pairs, and their check.

The facts are its settings, models and references. A study may be from anywhere, so it is checked to have the
types that this program writes; not whether the figures are true. What earlier versions did not keep may be
missing.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, get_type_hints

import optuna
import pydantic
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, GetPydanticSchema, JsonValue, TypeAdapter, create_model, with_config
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import TypedDict

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.faults import fault_of
from gridsearch.base.words import is_number
from gridsearch.experiment.experiment import EXPERIMENT_TABLES, Experiment, Render
from gridsearch.experiment.tables import Search
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import choices_of
from gridsearch.experiment.wording import in_words
from gridsearch.results.columns import STORED, Count, Integer, Text
from gridsearch.results.shared.retry import sqlite_code
from gridsearch.results.store.trials import ENDED, json_safe

_FACTS = "facts"
JUDGEMENT = "judgement "  # begins an attribute of a study, which is a judgement
Choice = Literal["first", "second", "equal"]


def kept_as(kind: Any) -> GetPydanticSchema:
    """Have a field checked as this type where it is read from a study; in the program it is plain data."""
    return GetPydanticSchema(lambda _field, handler: handler(kind))


STRICT = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
_ROW: dict[str, Any] = {c.name: (c.type, ... if c.required else None) for c in STORED}
StoredImage = Annotated[dict, kept_as(create_model("StoredImage", __config__=STRICT, **_ROW))]


@with_config(STRICT)
class StoredPart(TypedDict):
    """A file that holds a part of a model."""

    part: Text
    path: Text
    sha256: Text
    bytes: Integer


@with_config(STRICT)
class StoredFile(TypedDict):
    """The file of a model, an adapter or a VAE."""

    path: Text
    sha256: Text
    bytes: NotRequired[Integer]
    short_hash: NotRequired[Text]
    dtype: NotRequired[Text]
    layout: NotRequired[Text]
    prediction_type: NotRequired[Text]
    prediction_type_source: NotRequired[Text]
    prediction_type_conflicts: NotRequired[list[Text]]
    zero_terminal_snr: NotRequired[bool]
    shift: NotRequired[float]
    metadata: NotRequired[dict[str, Text]]
    files: NotRequired[list[StoredPart]]


@with_config(STRICT)
class StoredDrawing(TypedDict):
    """The way images were drawn: device, dtype, the hash of the component configs, and each setting's source.

    And the models whose 8-bit weights were kept in float16.
    """

    settings: NotRequired[list[dict[str, Text]]]
    widened: NotRequired[list[Text]]


@with_config({**STRICT, "extra": "forbid"})
class StoredTaste(TypedDict):
    """A person's taste as it was when the images were scored: see `score.taste.Taste`."""

    weights: dict[str, float]
    pairs: Count
    tested: Count
    right: Count


@with_config({**STRICT, "extra": "forbid"})
class StoredSlopes(TypedDict):
    """The effect of a ratio over its range: see `results.analysis.sensitivity.Sensitivity`."""

    off: float
    spread: float
    change: float


@with_config({**STRICT, "extra": "forbid"})
class StoredProbe(TypedDict):
    """The answers of the merges at these ratios to the probe: see `search.trial.probe.probe_merges`.

    An answer that is not finite is null. `calls` counts the UNet's, one for each image and branch. Where
    several ratios are searched, these are shares of all ranges, and `slopes` holds what each does.
    """

    ratios: Annotated[list[float], Field(min_length=1)]
    error: list[float | None]
    spread: list[float | None]
    references: Count
    calls: Count
    slopes: NotRequired[dict[str, StoredSlopes]]


@with_config({**STRICT, "extra": "forbid"})
class StoredEarlier(TypedDict):
    """The curve that an earlier study drew, in a probe's stead: see `search.earlier.earlier_curve`.

    `shared` are names of models, and `differs` is what else decides of an image, in words.
    """

    study: Text
    ratios: Annotated[list[float], Field(min_length=1)]
    losses: list[float]
    shared: list[Text]
    differs: list[Text]


Files = Annotated[dict[str, dict], kept_as(dict[str, StoredFile])]


@dataclass(frozen=True)
class Facts:
    """The facts of a run, which hold for all of its trials.

    Attributes:
        experiment: the experiment as resolved.
        models: by name.
        references: a row per reference image; None until they are drawn.
        planned: number of trials.
        file: the experiment's file.
        extras: adapters and a VAE's own file, by name.
        order: ids of the search's cases as they are drawn.
        held_out: ids of prompts kept apart from the search.
        parents: model -> the fingerprint of its weights alone.
        taste: the person's, by which the images are scored; None where none is asked for.
        probe: the answers to the probe, or an earlier study's curve; None where neither was asked for, or
            the probe could not be asked.
    """

    experiment: Annotated[dict, kept_as(dict[str, JsonValue])]
    models: Files
    versions: dict[str, Text]
    references: list[StoredImage] | None
    planned: Annotated[int, Field(ge=0, lt=10**9)]
    drawing: Annotated[dict, kept_as(StoredDrawing)]
    file: Text
    extras: Files = field(default_factory=dict)
    order: list[Text] = field(default_factory=list)
    held_out: list[Text] = field(default_factory=list)
    parents: dict[str, Text] = field(default_factory=dict)
    taste: Annotated[dict | None, kept_as(StoredTaste | None)] = field(default_factory=lambda: None)
    probe: Annotated[dict | None, kept_as(StoredProbe | StoredEarlier | None)] = field(
        default_factory=lambda: None
    )


def objectives_of(facts: Facts) -> tuple[str, ...]:
    """Return the names of the values that the study minimises."""
    return Search.model_validate(facts.experiment.get("search", {})).kind.goals


def save_facts(study: optuna.Study, facts: Facts) -> None:
    study.set_user_attr(_FACTS, json_safe(asdict(facts)))


def load_facts(study: optuna.Study) -> Facts:
    facts = Facts(**study.user_attrs[_FACTS])
    # Before components could be named, all of a model was merged.
    earlier = {"adapters": {}, "components": {"text_encoders": "merged", "vae": "merged"}}
    render = Render().model_dump(mode="json") | facts.experiment.get("render", {})
    # Earlier versions kept under `full` and `most` which pictures were to be made smaller.
    images = {k: v for k, v in facts.experiment.get("images", {}).items() if k not in ("full", "most")}
    return replace(facts, experiment=earlier | facts.experiment | {"render": render, "images": images})


def probe_of(study: optuna.Study) -> dict[str, Any] | None:
    """Return the answers to the probe of a study, of which nothing else need be known."""
    return study.user_attrs.get(_FACTS, {}).get("probe")


def remaining(facts: Facts, trials: Sequence[FrozenTrial], done: str | None = None) -> int:
    """Count the trials that are still to be done: those queued, and else those short of the number.

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


@dataclass(frozen=True)
class Judgement:
    """One blind pair: the images of a case by two trials, the first's on the left.

    `time` is ISO 8601 with its time zone, `session` the seed of the session. Each judgement is an attribute
    of its own, so that a run which goes on beside it writes none of them over.
    """

    first: Integer
    second: Integer
    prompt_id: Text
    seed: Integer
    answer: Choice
    time: Text
    session: Integer


def judgements_in(attrs: Mapping[str, Any]) -> dict[str, dict | None]:
    """Return the attributes of a study that are judgements; None is one that was taken back."""
    return {key: value for key, value in attrs.items() if key.startswith(JUDGEMENT)}


def judgements_of(attrs: Mapping[str, Any]) -> tuple[Judgement, ...]:
    """Return the judgements among a study's attributes, in the order in which they were made."""
    kept = [(key, said) for key, said in judgements_in(attrs).items() if said is not None]
    return tuple(Judgement(**said) for _, said in sorted(kept, key=lambda one: (one[1]["time"], one[0])))


# -- the check


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
