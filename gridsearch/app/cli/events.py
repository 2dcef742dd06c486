"""A run as lines of JSON, one per event: `run --json`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gridsearch import __version__
from gridsearch.app.cli.documents import ErrorFields, Seconds, error_dict
from gridsearch.app.cli.silent import Silent
from gridsearch.app.cli.terminal import show_json
from gridsearch.base.errors import GridsearchError
from gridsearch.results.analysis.answer import Parameters
from gridsearch.results.analysis.best_json import BestDocument
from gridsearch.results.columns import Count, Distance, ZeroToOne
from gridsearch.score.verdict import VerdictName


class NoteEvent(TypedDict):
    event: Literal["note"]
    text: str


class StartEvent(TypedDict):
    event: Literal["run_started"]
    name: str
    folder: str
    version: str
    trials_left: Count
    trials_done: Count
    about: bool
    """Whether trials_left is a guess: the search ends by itself."""
    images_per_trial: Count
    references_left: Count


class ReferenceEvent(TypedDict):
    event: Literal["reference"]
    prompt_id: str
    seed: Count
    seconds: Seconds


class TrialResult(TypedDict):
    survived: ZeroToOne
    defect: Distance
    images: Count
    cases: Count
    verdicts: dict[VerdictName, Count]
    """How many images have each verdict."""
    stopped_early: Count
    seconds: dict[str, Seconds]
    """merge, render and score."""


class TrialEvent(TypedDict):
    event: Literal["trial"]
    trial: Count
    parameters: Parameters
    stopped: str | None
    """Why it was not drawn to its end."""
    found: TrialResult | None
    """null where it failed."""
    error: ErrorFields | None
    """Why it failed."""


class CheckEvent(TypedDict):
    event: Literal["check"]
    role: Literal["held_out", "repeat"]
    trial: Count
    parameters: Parameters
    found: TrialResult | None
    """null where it failed."""
    error: ErrorFields | None
    """Why it failed."""


class AnswerEvent(TypedDict):
    event: Literal["answer"]
    folder: str
    best: BestDocument | None


class InterruptedEvent(TypedDict):
    event: Literal["interrupted"]


class ErrorEvent(TypedDict):
    event: Literal["error"]
    error: ErrorFields


Event = Annotated[
    NoteEvent
    | StartEvent
    | ReferenceEvent
    | TrialEvent
    | CheckEvent
    | AnswerEvent
    | InterruptedEvent
    | ErrorEvent,
    Field(discriminator="event"),
]


def show_event(event: Event) -> None:
    show_json(event, indent=None)


class Events(Silent):
    """See search.run.Listener."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder

    def note(self, text: str) -> None:
        show_event({"event": "note", "text": text})

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        show_event(
            {
                "event": "run_started",
                "name": self._name,
                "folder": str(self._folder),
                "version": __version__,
                "trials_left": remaining,
                "trials_done": done,
                "about": about,
                "images_per_trial": cases,
                "references_left": references,
            }
        )

    def reference(self, drawn: Any) -> None:
        show_event(
            {
                "event": "reference",
                "prompt_id": drawn.case.prompt_id,
                "seed": drawn.case.seed,
                "seconds": round(drawn.seconds, 3),
            }
        )

    def trial(self, told: Any) -> None:
        found, error = _found(told.outcome)
        show_event(
            {
                "event": "trial",
                "trial": told.number,
                "parameters": told.parameters,
                "stopped": told.stopped,
                "found": found,
                "error": error,
            }
        )

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        found, error = _found(outcome)
        show_event(
            {
                "event": "check",
                "role": check.role,
                "trial": check.trial,
                "parameters": dict(parameters),
                "found": found,
                "error": error,
            }
        )


def _found(outcome: Any) -> tuple[TrialResult | None, ErrorFields | None]:
    """Return what a trial found, or why it failed."""
    if isinstance(outcome, GridsearchError):
        return None, error_dict(outcome)
    return {
        "survived": outcome.survived,
        "defect": outcome.defect,
        "images": len(outcome.images),
        "cases": outcome.cases,
        "verdicts": dict(Counter(row["verdict"] for row in outcome.images)),
        "stopped_early": sum(bool(row.get("stopped")) for row in outcome.images),
        "seconds": {part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
    }, None
