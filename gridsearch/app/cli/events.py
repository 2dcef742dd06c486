"""A listener that prints each event of a run as a line of JSON: `run --json`."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridsearch import __version__
from gridsearch.app.cli.documents import error_dict
from gridsearch.app.terminal import SilentListener, show_json
from gridsearch.base.errors import GridsearchError

if TYPE_CHECKING:
    from gridsearch.app.cli.document_types import ErrorFields, Event, TrialResult


def show_event(event: "Event") -> None:
    show_json(event, indent=None)


class Events(SilentListener):
    """Prints every event; see search.listener.Listener."""

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


def _found(outcome: Any) -> "tuple[TrialResult | None, ErrorFields | None]":
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
