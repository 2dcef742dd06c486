"""The facts of a run, an attribute of its study: its settings, models and references.

Their types are what `store.integrity` checks, and what earlier versions did not keep may be missing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, NotRequired

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, GetPydanticSchema, JsonValue, create_model, with_config
from typing_extensions import TypedDict

from gridsearch.experiment.render_table import Render
from gridsearch.experiment.tables import Search
from gridsearch.results.columns import STORED, Count, Integer, Text
from gridsearch.results.store.trials import ENDED, json_safe

_FACTS = "facts"


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
