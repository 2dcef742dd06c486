"""The types of the documents that the commands print with --json."""

from typing import Annotated, Any, Literal

from pydantic import Field, GetPydanticSchema, create_model, with_config
from typing_extensions import TypedDict

from gridsearch.results.analysis.best_json import DOCUMENT, BestDocument, Sha256Digits
from gridsearch.results.columns import IMAGE_ROW, Count, Distance, ZeroToOne
from gridsearch.score.files import COLUMNS, PLACE
from gridsearch.score.verdict import VerdictName

Seconds = Annotated[float, Field(ge=0)]


class ErrorFields(TypedDict):
    """An error, or a mistake in the command itself."""

    what: str
    """One sentence, what is wrong."""
    where: str | None
    why: str | None
    fix: str | None
    """How to correct it."""
    also: list[str]
    """Other mistakes of the same input."""
    exit_code: int
    """1 where a run failed, 2 for bad input."""


@with_config(DOCUMENT)
class ErrorDocument(TypedDict):
    """The document of any command with --json that fails."""

    error: ErrorFields


class PlannedModel(TypedDict):
    path: str
    files: list[str]
    """All files with its weights; one, unless it is a folder or in parts."""
    bytes: Count
    dtypes: list[str]
    prediction_type: str
    prediction_type_source: str


class SearchedList(TypedDict):
    values: list[float | str | bool]


class SearchedRange(TypedDict):
    low: float
    high: float
    step: float | None


class PlannedTrials(TypedDict):
    fewest: Count
    most: Count
    glances: Count


class PlannedImages(TypedDict):
    most: Count
    per_trial: Count
    held_out: Count
    references: Count
    checks: Count


PlannedSeconds = TypedDict("PlannedSeconds", {"fewest": Seconds, "most": Seconds, "from": str})


class PlannedMemory(TypedDict):
    needed: Count
    free: Count


class PlannedSetting(TypedDict):
    setting: str
    value: str
    source: str


class PlannedWorkers(TypedDict):
    """The workers that memory and times are meant for."""

    number: Annotated[int, Field(ge=1)]
    gpus: Count
    """How many they share; 0 without --workers, and on a CPU."""


class PlannedDisk(TypedDict):
    needed: Count
    """About, when the run is done: the sum of the parts."""
    free: Count
    there: Count
    """Bytes that lie in the folder already."""
    parts: dict[str, Count]


@with_config(DOCUMENT)
class PlanDocument(TypedDict):
    """The document of gridsearch plan; sizes in bytes, times in seconds."""

    name: str
    folder: str
    models: dict[str, PlannedModel]
    searched: dict[str, SearchedList | SearchedRange]
    sampler: str
    trials: PlannedTrials
    images: PlannedImages
    workers: PlannedWorkers
    seconds: PlannedSeconds
    disk: PlannedDisk
    memory: PlannedMemory
    device_memory: PlannedMemory
    settings: list[PlannedSetting]
    warnings: list[str]


class InspectedPrediction(TypedDict):
    type: str
    source: str
    zero_terminal_snr: bool
    conflicts: list[str]
    shift: float | None
    """Of a rectified flow, where its folder names one."""


class LabelledValue(TypedDict):
    label: str
    value: str


class InspectedCheckpoint(TypedDict):
    path: str
    layout: str
    architecture: str | None
    bytes: Count
    tensors: Count
    sha256: Sha256Digits | None
    short_hash: str | None
    prediction: InspectedPrediction | None
    can_be_merged: bool
    """Whether a plan takes it, perhaps on a condition that is said in the row of that name."""
    rows: list[LabelledValue]
    """All that is shown without --json, printable and cut."""


@with_config(DOCUMENT)
class InspectDocument(TypedDict):
    """The document of gridsearch inspect."""

    checkpoints: list[InspectedCheckpoint]


@with_config(DOCUMENT)
class AnswerDocument(TypedDict):
    """The document of gridsearch report, and of gridsearch score for a results folder."""

    folder: str
    notes: list[str]
    best: BestDocument | None
    """As best.json; null where no trial has ended."""


_types: dict[str, Any] = {column.name: column.type | None for column in IMAGE_ROW} | {
    "image": str,
    **dict.fromkeys(PLACE, Count | None),
    "verdict": VerdictName | Literal["error"],
}
_fields: dict[str, Any] = {name: (_types[name], ...) for name in COLUMNS}
_ScoredImage = create_model("ScoredImage", __config__=DOCUMENT, **_fields)
ScoresRow = Annotated[dict[str, Any], GetPydanticSchema(lambda _dict, handler: handler(_ScoredImage))]


@with_config(DOCUMENT)
class ScoresDocument(TypedDict):
    """The document of gridsearch score for images."""

    images: list[ScoresRow]
    notes: list[str]
    bad: Count
    """How many files could not be scored; their verdict is error."""


class WorkerFields(TypedDict):
    """A worker that draws a trial, its images of that so far, and for how long it was not heard of."""

    name: str
    trial: Count
    images: Count
    silent: Seconds


class StateFields(TypedDict):
    name: str
    host: str
    pid: Count
    since: str
    ended: Literal["done", "stopped", "failed"] | None
    message: str | None
    """The error it ended with, or why it makes no progress."""
    doing: str
    trials_done: Count
    trials_left: Count
    about: bool
    images: Count
    """Rendered since the run began."""
    per_minute: Annotated[float, Field(ge=0)] | None
    progress: Seconds
    """Since the run last made any."""
    workers: list[WorkerFields]
    """Those in other processes that draw a trial now."""


@with_config(DOCUMENT)
class StatusDocument(StateFields):
    """The document of gridsearch status."""

    alive: bool
    heard: Seconds
    """Since the run wrote its state."""


@with_config(DOCUMENT)
class WrittenDocument(TypedDict):
    """The document of gridsearch export and gridsearch merge."""

    file: str
    bytes: Count
    sha256: Sha256Digits | None
    """null for a recipe of sd-mecha."""
    log: str | None
    """The file that says how to make it again."""


@with_config(DOCUMENT)
class ExtractedDocument(TypedDict):
    """The document of gridsearch extract. A share is one of the squares of the change."""

    file: str
    bytes: Count
    sha256: Sha256Digits
    layers: Count
    ranks: tuple[Count, Count]
    """The least and the greatest."""
    kept: ZeroToOne
    """The share that the file holds."""
    left_out: dict[str, ZeroToOne]
    """Kind of weights that a LoRA cannot change -> their share."""


@with_config(DOCUMENT)
class RebasedDocument(TypedDict):
    """The document of gridsearch rebasin."""

    file: str | None
    """null where no unit was moved, and nothing was written."""
    bytes: Count
    sha256: Sha256Digits | None
    moved: Count
    """Units that were moved, of so many units."""
    units: Count
    distance_before: Distance
    """Between the weights of all units of the two models."""
    distance_after: Distance


class ExplainedPart(TypedDict):
    part: str
    """all (but the VAE), unet, or a selector of ratios per block."""
    weights: dict[str, float | None]
    """Model -> its weight; null where the models do not tell it."""
    errors: dict[str, Distance | None]
    """Their standard errors."""
    sum: float
    unexplained: ZeroToOne
    """The distance from that sum, as a share of that from the nearest model."""
    explained: bool
    why: str


@with_config(DOCUMENT)
class ExplainedDocument(TypedDict):
    """The document of gridsearch explain."""

    merged: str
    parts: list[ExplainedPart]
    ratio: str | None
    """Of a step of the two models, in TOML; null where it is none."""
    notes: list[str]


PooledModel = TypedDict(
    "PooledModel",
    {
        "model": str,
        "path": str,
        "sha256": Sha256Digits,
        "is": str,
        "prediction_type": str,
        "dtypes": list[str],
        "bytes": Count,
        "not_finite": dict[str, Count],
        "norms": dict[str, Distance],
        "remarks": list[str],
    },
)


class PooledPair(TypedDict):
    part: str
    a: str
    b: str
    distance: Distance
    """As a share of the norm of the base's part, or of the models' in the mean."""
    cosine: float | None
    """Of their changes from the base."""


@with_config(DOCUMENT)
class PoolDocument(TypedDict):
    """The document of gridsearch inspect --pool."""

    folder: str
    base: str | None
    models: list[PooledModel]
    changes: dict[str, dict[str, Distance]]
    """Part -> model -> the norm of its change from the base, as a share of the base's."""
    pairs: list[PooledPair]
    unread: dict[str, str]
    """File -> why it cannot be read."""
    notes: list[str]
