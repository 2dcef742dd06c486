"""The attributes of a study: the facts of its run, and a person's judgements of blind pairs.

The facts are its settings, models and references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, NotRequired

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, GetPydanticSchema, JsonValue, create_model, with_config
from typing_extensions import TypedDict

from gridsearch.experiment.experiment import Render
from gridsearch.experiment.tables import Search
from gridsearch.results.columns import STORED, Integer, Text
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
    metadata: NotRequired[dict[str, Text]]


@with_config(STRICT)
class StoredDrawing(TypedDict):
    """How images were drawn: device, dtype, the hash of the component configs, and each setting's source."""

    settings: NotRequired[list[dict[str, Text]]]


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
