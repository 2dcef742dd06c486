"""The commands' results as documents for programs: `--json`. `gridsearch schema` prints what is in each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, GetPydanticSchema, create_model, with_config
from typing_extensions import TypedDict

from gridsearch.base.errors import GridsearchError
from gridsearch.results.analysis.best_json import DOCUMENT, BestDocument, Sha256Digits, best_dict, plain
from gridsearch.results.columns import IMAGE_ROW, Count
from gridsearch.score.files import COLUMNS
from gridsearch.score.verdict import VerdictName

Seconds = Annotated[float, Field(ge=0)]


class ErrorFields(TypedDict):
    """An error, or a mistake in the command itself."""

    what: str
    """One sentence, what is wrong."""
    where: str | None
    why: str | None
    fix: str | None
    """What can be done about it."""
    exit_code: int
    """1 where a run failed, 2 for bad input."""


@with_config(DOCUMENT)
class ErrorDocument(TypedDict):
    """The document of any command with --json that fails."""

    error: ErrorFields


def error_dict(error: GridsearchError) -> ErrorFields:
    return {
        "what": str(error.what),
        "where": _text(error.where),
        "why": _text(error.why),
        "fix": _text(error.fix),
        "exit_code": error.exit_code,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def failure_dict(what: str, exit_code: int) -> ErrorFields:
    """Return a mistake in the command itself."""
    return {"what": what, "where": None, "why": None, "fix": None, "exit_code": exit_code}


class PlannedModel(TypedDict):
    path: str
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


class PlannedImages(TypedDict):
    most: Count
    per_trial: Count
    held_out: Count
    references: Count
    checks: Count


class PlannedWorkers(TypedDict):
    """The workers that memory and times are meant for."""

    number: Annotated[int, Field(ge=1)]
    gpus: Count
    """How many they share; 0 without --workers, and on a CPU."""


PlannedSeconds = TypedDict("PlannedSeconds", {"fewest": Seconds, "most": Seconds, "from": str})


class PlannedDisk(TypedDict):
    needed: Count
    """About, when the run is done: the sum of the parts."""
    free: Count
    most: Annotated[int, Field(gt=0)] | None
    """The cap of the results folder: images.most."""
    there: Count
    """What lies in the folder already."""
    trials_in_full: Count
    """How many trials keep their pictures in full."""
    parts: dict[str, Count]


class PlannedMemory(TypedDict):
    needed: Count
    free: Count


class PlannedSetting(TypedDict):
    setting: str
    value: str
    source: str


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


def plan_dict(plan: Any, folder: Path) -> PlanDocument:
    predictions = plan.parents.predictions
    return {
        "name": plan.experiment.name,
        "folder": str(folder),
        "models": {
            name: {
                "path": str(checkpoint.path),
                "bytes": checkpoint.bytes,
                "dtypes": list(checkpoint.dtypes),
                "prediction_type": predictions[name].type,
                "prediction_type_source": predictions[name].source,
            }
            for name, checkpoint in plan.parents.checkpoints.items()
        },
        "searched": {name: _values(values) for name, values in plan.searched.items()},
        "sampler": plan.experiment.search.sampler,
        "trials": {"fewest": plan.fewest, "most": plan.trials},
        "images": {
            "most": plan.images,
            "per_trial": plan.cases,
            "held_out": plan.held_out,
            "references": plan.references,
            "checks": plan.checks,
        },
        "workers": {"number": plan.hands.workers, "gpus": len(plan.hands.gpus)},
        "seconds": {"fewest": plan.fewest_seconds, "most": plan.seconds, "from": plan.seconds_from},
        "disk": {
            "needed": plan.disk.total,
            "free": plan.disk.free,
            "most": plan.disk.most,
            "there": plan.disk.there,
            "trials_in_full": plan.disk.full,
            "parts": plan.disk.parts(),
        },
        "memory": {"needed": plan.memory.host, "free": plan.memory.host_free},
        "device_memory": {"needed": plan.memory.device, "free": plan.memory.device_free},
        "settings": list(plan.settings),
        "warnings": list(plan.warnings),
    }


def _values(values: Any) -> SearchedList | SearchedRange:
    if isinstance(values, tuple):
        return {"values": list(values)}
    return {"low": values.low, "high": values.high, "step": values.step}


class InspectedPrediction(TypedDict):
    type: str
    source: str
    zero_terminal_snr: bool
    conflicts: list[str]


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
    rows: list[LabelledValue]
    """All that is shown without --json, printable and cut."""


@with_config(DOCUMENT)
class InspectDocument(TypedDict):
    """The document of gridsearch inspect."""

    checkpoints: list[InspectedCheckpoint]


def checkpoint_dict(opened: Any, shown: tuple[str, Sequence[tuple[str, str]]]) -> InspectedCheckpoint:
    """Describe a file or a folder. `shown` are its name and what people are told of it.

    What a stranger wrote into the file stands in `rows`, printable and cut.
    """
    from gridsearch.checkpoint.diffusers_folder import Folder
    from gridsearch.checkpoint.inspect import read_prediction

    said = dict(shown[1])
    is_folder = isinstance(opened, Folder)
    prediction = opened.prediction if is_folder else read_prediction(opened)
    files = [file for part in opened.weights.values() for file in part] if is_folder else [opened]
    return {
        "path": str(opened.path),
        "layout": said["layout"],
        "architecture": said.get("architecture", said.get("pipeline")),
        "bytes": sum(file.bytes for file in files),
        "tensors": sum(len(file.tensors) for file in files),
        "sha256": None if is_folder else said["SHA-256"],
        "short_hash": said.get("A1111 hash"),
        "prediction": {
            "type": prediction.type,
            "source": prediction.source,
            "zero_terminal_snr": prediction.zero_terminal_snr,
            "conflicts": list(prediction.conflicts),
        }
        if "prediction type" in said
        else None,
        "can_be_merged": said.get("can be merged") == "yes",
        "rows": [{"label": label.strip(), "value": value} for label, value in shown[1]],
    }


@with_config(DOCUMENT)
class AnswerDocument(TypedDict):
    """The document of gridsearch report, and of gridsearch score for a results folder."""

    folder: str
    notes: list[str]
    best: BestDocument | None
    """As best.json; null where no trial has ended."""


def answer_dict(results: Any, answer: Any, notes: Sequence[str] = ()) -> AnswerDocument:
    return {
        "folder": str(results.folder),
        "notes": list(notes),
        "best": None if answer is None else best_dict(results, answer),
    }


def _scored_model() -> Any:
    """Return the type of an image's scores."""
    types: dict[str, Any] = {column.name: column.type | None for column in IMAGE_ROW} | {
        "image": str,
        "row": Count | None,
        "column": Count | None,
        "verdict": VerdictName | Literal["error"],
    }
    fields: dict[str, Any] = {name: (types[name], ...) for name in COLUMNS}
    return create_model("ScoredImage", __config__=DOCUMENT, **fields)


ScoredImage = Annotated[dict[str, Any], GetPydanticSchema(lambda _dict, handler: handler(_scored_model()))]


@with_config(DOCUMENT)
class ScoresDocument(TypedDict):
    """The document of gridsearch score for images."""

    images: list[ScoredImage]
    notes: list[str]
    bad: Count
    """How many files could not be scored; their verdict is error."""


def scores_dict(scored: Any, bad: int) -> ScoresDocument:
    rows = scored.table.astype(object).where(scored.table.notna(), None).to_dict("records")
    return {"images": plain(rows), "notes": list(scored.notes), "bad": bad}


@with_config(DOCUMENT)
class WrittenDocument(TypedDict):
    """The document of gridsearch export and gridsearch merge."""

    file: str
    bytes: Count
    sha256: Sha256Digits | None
    """null for a recipe of sd-mecha."""
    log: str | None
    """The file that says how to make it again."""


def written_dict(output: Path, sha256: str | None = None, log: Path | None = None) -> WrittenDocument:
    return {
        "file": str(output),
        "bytes": output.stat().st_size,
        "sha256": sha256,
        "log": _text(log),
    }
