"""The results of the commands as documents for programs: `--json`. `gridsearch schema` describes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridsearch.base.errors import GridsearchError

if TYPE_CHECKING:
    from gridsearch.app.cli.document_types import (
        AnswerDocument,
        ErrorFields,
        InspectedCheckpoint,
        PlanDocument,
        ScoresDocument,
        SearchedList,
        SearchedRange,
        WrittenDocument,
    )


def error_dict(error: GridsearchError) -> "ErrorFields":
    return {
        "what": str(error.what),
        "where": _text(error.where),
        "why": _text(error.why),
        "fix": _text(error.fix),
        "exit_code": error.exit_code,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def failure_dict(what: str, exit_code: int) -> "ErrorFields":
    """Return a mistake in the command itself."""
    return {"what": what, "where": None, "why": None, "fix": None, "exit_code": exit_code}


def plan_dict(plan: Any, folder: Path) -> "PlanDocument":
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
        "workers": {"number": plan.workers.workers, "gpus": len(plan.workers.gpus)},
        "seconds": {"fewest": plan.fewest_seconds, "most": plan.seconds, "from": plan.seconds_from},
        "disk": {
            "needed": plan.disk.total,
            "free": plan.disk.free,
            "there": plan.disk.there,
            "parts": plan.disk.parts(),
        },
        "memory": {"needed": plan.memory.host, "free": plan.memory.host_free},
        "device_memory": {"needed": plan.memory.device, "free": plan.memory.device_free},
        "settings": list(plan.settings),
        "warnings": list(plan.warnings),
    }


def _values(values: Any) -> "SearchedList | SearchedRange":
    if isinstance(values, tuple):
        return {"values": list(values)}
    return {"low": values.low, "high": values.high, "step": values.step}


def checkpoint_dict(opened: Any, shown: tuple[str, Sequence[tuple[str, str]]]) -> "InspectedCheckpoint":
    """Describe a file or a folder. `shown` are its name and its labelled values.

    Text that a stranger wrote into the file is in `rows`, printable and cut.
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


def answer_dict(results: Any, answer: Any, notes: Sequence[str] = ()) -> "AnswerDocument":
    from gridsearch.results.analysis.best_json import best_dict

    return {
        "folder": str(results.folder),
        "notes": list(notes),
        "best": None if answer is None else best_dict(results, answer),
    }


def scores_dict(scored: Any, bad: int) -> "ScoresDocument":
    from gridsearch.results.store.trials import json_safe

    rows = scored.table.astype(object).where(scored.table.notna(), None).to_dict("records")
    return {"images": json_safe(rows), "notes": list(scored.notes), "bad": bad}


def written_dict(output: Path, sha256: str | None = None, log: Path | None = None) -> "WrittenDocument":
    return {
        "file": str(output),
        "bytes": output.stat().st_size,
        "sha256": sha256,
        "log": _text(log),
    }
