"""The documents that the commands print for programs with `--json`, and of a run a line for each event.

`gridsearch schema` describes them.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridsearch import __version__
from gridsearch.app.run_state import RunState, is_alive
from gridsearch.app.terminal import SilentListener, show_json
from gridsearch.base.errors import GridsearchError

if TYPE_CHECKING:  # it imports pydantic, which a command that prints its help must not wait for
    from gridsearch.app.cli import document_types as types
    from gridsearch.app.cli.event_types import TrialResult


def error_dict(error: GridsearchError) -> "types.ErrorFields":
    return {
        "what": str(error.what),
        "where": None if error.where is None else str(error.where),
        "why": error.why,
        "fix": error.fix,
        "also": list(error.also),
        "exit_code": error.exit_code,
    }


def plan_dict(plan: Any, folder: Path) -> "types.PlanDocument":
    predictions, disk, memory = plan.parents.predictions, plan.disk, plan.memory
    return {
        "name": plan.experiment.name,
        "folder": str(folder),
        "models": {
            name: {
                "path": str(checkpoint.path),
                "files": [str(file) for file in checkpoint.files],
                "bytes": checkpoint.bytes,
                "dtypes": list(checkpoint.dtypes),
                "prediction_type": predictions[name].type,
                "prediction_type_source": predictions[name].source,
            }
            for name, checkpoint in plan.parents.checkpoints.items()
        },
        "searched": {
            name: {"values": list(values)}
            if isinstance(values, tuple)
            else {"low": values.low, "high": values.high, "step": values.step}
            for name, values in plan.searched.items()
        },
        "sampler": plan.experiment.search.sampler,
        "trials": {"fewest": plan.fewest, "most": plan.trials, "glances": plan.glances},
        "images": {
            "most": plan.images,
            "per_trial": plan.cases,
            "held_out": plan.held_out,
            "references": plan.references,
            "checks": plan.checks,
        },
        "workers": {"number": plan.workers.workers, "gpus": len(plan.workers.gpus)},
        "seconds": {"fewest": plan.fewest_seconds, "most": plan.seconds, "from": plan.seconds_from},
        "disk": {"needed": disk.total, "free": disk.free, "there": disk.there, "parts": disk.parts()},
        "memory": {"needed": memory.host, "free": memory.host_free},
        "device_memory": {"needed": memory.device, "free": memory.device_free},
        "settings": list(plan.settings),
        "warnings": list(plan.warnings),
    }


def checkpoint_dict(opened: Any, rows: Sequence[tuple[str, str]]) -> "types.InspectedCheckpoint":
    """Describe a file or a folder, whose labelled values, as they are shown to people, are `rows`."""
    from gridsearch.checkpoint.inspect import Folder, read_prediction
    from gridsearch.checkpoint.mergeable import YES

    said = dict(rows)
    is_folder = isinstance(opened, Folder)
    prediction: Any = None
    if "prediction type" in said:
        prediction = asdict(opened.prediction if is_folder else read_prediction(opened))
    files = [file for part in opened.weights.values() for file in part] if is_folder else [opened]
    return {
        "path": str(opened.path),
        "layout": said["layout"],
        "architecture": said.get("architecture", said.get("pipeline")),
        "bytes": sum(file.bytes for file in files),
        "tensors": sum(len(file.tensors) for file in files),
        "sha256": said.get("SHA-256", "").partition(" ")[0] or None,
        "short_hash": said.get("A1111 hash"),
        "prediction": prediction,
        "can_be_merged": said.get("can be merged", "").startswith(YES),
        "rows": [{"label": label.strip(), "value": value} for label, value in rows],
    }


def answer_dict(results: Any, answer: Any, notes: Sequence[str] = ()) -> "types.AnswerDocument":
    from gridsearch.results.analysis.best_json import best_dict

    best = None if answer is None else best_dict(results, answer)
    return {"folder": str(results.folder), "notes": list(notes), "best": best}


def scores_dict(scored: Any, bad: int) -> "types.ScoresDocument":
    from gridsearch.results.store.trials import json_safe

    rows = scored.table.astype(object).where(scored.table.notna(), None).to_dict("records")
    return {"images": json_safe(rows), "notes": list(scored.notes), "bad": bad}


def status_dict(state: RunState, age: float) -> "types.StatusDocument":
    document: Any = {"alive": is_alive(state, age), "heard": age, **asdict(state)}
    return document


def written_dict(output: Path, sha256: str | None, log: Path | None) -> "types.WrittenDocument":
    log_file = None if log is None else str(log)
    return {"file": str(output), "bytes": output.stat().st_size, "sha256": sha256, "log": log_file}


def extracted_dict(output: Path, found: Any) -> "types.ExtractedDocument":
    return {
        "file": str(output),
        "bytes": output.stat().st_size,
        "sha256": found.sha256,
        "layers": found.layers,
        "ranks": found.ranks,
        "kept": found.kept / found.whole,
        "left_out": {kind: squares / found.whole for kind, squares in found.left_out.items()},
    }


def rebased_dict(output: Path, found: Any) -> "types.RebasedDocument":
    return {
        "file": str(output) if found.sha256 else None,
        "bytes": output.stat().st_size if found.sha256 else 0,
        "sha256": found.sha256,
        "moved": sum(moved for moved, _ in found.moved.values()),
        "units": sum(units for _, units in found.moved.values()),
        "distance_before": found.distances[0],
        "distance_after": found.distances[1],
    }


def explained_dict(merged: Path, found: Any) -> "types.ExplainedDocument":
    parts: list[types.ExplainedPart] = [
        {
            "part": part.name,
            "weights": dict(zip(found.models, part.weights, strict=True)),
            "errors": dict(zip(found.models, part.errors, strict=True)),
            "sum": part.sum,
            "unexplained": part.left,
            "explained": part.explained,
            "why": part.why,
        }
        for part in found.parts
    ]
    return {
        "merged": str(merged),
        "parts": parts,
        "ratio": found.as_step() or None,
        "notes": list(found.notes),
    }


def pool_dict(folder: Path, pool: Any) -> "types.PoolDocument":
    return {
        "folder": str(folder),
        "base": pool.base,
        "models": [
            {
                "model": model.name,
                "path": str(model.file.path),
                "sha256": model.sha256,
                "is": model.family,
                "prediction_type": model.prediction.type,
                "dtypes": list(model.file.dtypes),
                "bytes": model.file.bytes,
                "not_finite": model.broken,
                "norms": {part: own.squares**0.5 for part, own in model.parts.items()},
                "remarks": list(pool.remarks.get(model.name, ())),
            }
            for model in pool.models
        ],
        "changes": {
            part: dict(zip(own.names, own.change().tolist(), strict=True)) if pool.base else {}
            for part, own in pool.relations.items()
        },
        "pairs": pool.pairs(),
        "unread": dict(pool.unread),
        "notes": pool.notes(),
    }


def show_event(event: str, **facts: Any) -> None:
    """Print an event as a line of JSON."""
    show_json({"event": event, **facts}, indent=None)


STATE_EVERY = 60.0  # seconds between two events of a run's state


class Events(SilentListener):
    """A listener that prints every event; see search.listener.Listener."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._state_shown = -STATE_EVERY

    def note(self, text: str) -> None:
        show_event("note", text=text)

    def state(self, state: Any) -> None:
        if state.ended or time.monotonic() - self._state_shown >= STATE_EVERY:
            self._state_shown = time.monotonic()
            show_event("state", **asdict(state))

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        show_event(
            "run_started",
            name=self._name,
            folder=str(self._folder),
            version=__version__,
            trials_left=remaining,
            trials_done=done,
            about=about,
            images_per_trial=cases,
            references_left=references,
        )

    def reference(self, drawn: Any) -> None:
        case, seconds = drawn.case, round(drawn.seconds, 3)
        show_event("reference", prompt_id=case.prompt_id, seed=case.seed, seconds=seconds)

    def trial(self, told: Any) -> None:
        head = {"trial": told.number, "parameters": told.parameters, "stopped": told.stopped}
        show_event("trial", **head, **_found(told.outcome))

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        head = {"role": check.role, "trial": check.trial, "parameters": dict(parameters)}
        show_event("check", **head, **_found(outcome))


def _found(outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, GridsearchError):
        return {"found": None, "error": error_dict(outcome)}
    found: TrialResult = {
        "survived": outcome.survived,
        "defect": outcome.defect,
        "images": len(outcome.images),
        "cases": outcome.cases,
        "verdicts": dict(Counter(row["verdict"] for row in outcome.images)),
        "stopped_early": sum(bool(row.get("stopped")) for row in outcome.images),
        "seconds": {part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
    }
    return {"found": found, "error": None}
