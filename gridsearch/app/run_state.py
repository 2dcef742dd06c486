"""The state of a run, kept in its folder while it works: a small file that any machine reads at once.

The run rewrites it every few seconds. Whether the run is alive is judged by the age of that file, by the file
server's clock: the clocks of two machines need not agree.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import psutil

from gridsearch.base.errors import BadInput
from gridsearch.base.files import age_of, read_json_object, write_atomic
from gridsearch.base.words import duration

STATE_FILE = ".run.state.json"
EVERY = 5.0  # seconds between two writings
SILENT = 90.0  # seconds after which a run is taken for dead: NFS may show a file a minute late
LARGEST = 1_000_000  # bytes
QUIET_WORKER = 60.0  # seconds of silence worth telling

Ending = Literal["done", "stopped", "failed"]


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        host, pid: of the process that leads it.
        since: when it began, an ISO time of that machine.
        ended: how it ended; None while it works.
        message: the error it ended with, or why it makes no progress; None where there is nothing to say.
        doing: what it does now, in words.
        trials_done, trials_left: of the search; `about` where the search ends by itself.
        images: rendered since it began, at so many a minute (None before the first).
        progress: seconds since it last made any, when this was written.
        workers: name, trial, images of it so far, and seconds of silence, of each that draws.
    """

    name: str
    host: str
    pid: int
    since: str
    ended: Ending | None
    message: str | None
    doing: str
    trials_done: int
    trials_left: int
    about: bool
    images: int
    per_minute: float | None
    progress: float
    workers: list[dict[str, Any]]


def write_state(folder: Path, state: RunState) -> None:
    write_atomic(folder / STATE_FILE, json.dumps(asdict(state)))


def read_state(folder: Path) -> tuple[RunState, float]:
    """Return the state that a folder keeps, and the seconds since it was written.

    Raises:
        BadInput: it keeps none, or a damaged one.
    """
    file = folder / STATE_FILE
    if not file.is_file():
        why = "No run of this version has begun in it; a run keeps its state once its models are loaded."
        fix = "Name the folder of a run, on the machine that leads it or on a disk that both see."
        raise BadInput("This folder holds no state of a run.", where=folder, why=why, fix=fix)
    said = read_json_object(file, LARGEST, "state of the run")
    try:
        state = RunState(**{field.name: said[field.name] for field in fields(RunState)})
        state_lines(state, 0.0)  # the types are those that it is told with
    except (KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise BadInput("The state of the run is damaged.", where=file, why=why, fix="Delete it.") from None
    return state, age_of(file)


def is_alive(state: RunState, age: float) -> bool:
    """Return whether the run works on, `age` seconds after its state was written."""
    here = state.host == socket.gethostname()
    return state.ended is None and age < SILENT and not (here and not psutil.pid_exists(state.pid))


def state_lines(state: RunState, age: float) -> list[str]:
    """Return the state in a few lines: whether it lives, how far it is, and its workers."""
    who = f"process {state.pid} on {state.host}, since {state.since}"
    if state.ended:
        head = f"{state.ended}: the run of {state.name} ended {duration(age)} ago"
    elif is_alive(state, age):
        head = f"running: {who}, last heard from {duration(age)} ago"
    else:
        head = f"dead: {who}, last heard from {duration(age)} ago; the same command resumes it"
    left = f"{'about ' if state.about else ''}{state.trials_left} left"
    pace = f", {state.per_minute:.3g} images per minute" if state.per_minute else ""
    lines = [head, f"trials: {state.trials_done} done, {left}; {state.images} images since it began{pace}"]
    if state.ended is None:
        lines.append(f"now: {state.doing}; last progress {duration(state.progress + age)} ago")
        lines += [worker_text(worker, age) for worker in state.workers]
    return lines + ([state.message] if state.message else [])


def worker_text(worker: Mapping[str, Any], age: float = 0.0) -> str:
    """Return a line on a worker."""
    silent = worker["silent"] + age
    heard = (
        f"silent for {duration(silent)}"
        if silent > QUIET_WORKER
        else f"last heard from {duration(silent)} ago"
    )
    return f"worker {worker['name']}: trial {worker['trial']}, {worker['images']} images, {heard}"


def workers_text(workers: list[dict[str, Any]]) -> str:
    """Return all workers in a line."""
    quiet = [f"{one['name']} silent for {duration(one['silent'])}" for one in workers if is_quiet(one)]
    return "; ".join([f"{len(workers) - len(quiet)} drawing", *quiet])


def is_quiet(worker: Mapping[str, Any]) -> bool:
    """Return whether a worker has been silent for longer than its beats explain."""
    return worker["silent"] > QUIET_WORKER
