"""A listener that prints each event of a run as a line of JSON: `run --json`.

schemas/event.schema.json describes them.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridsearch import __version__
from gridsearch.app.cli.documents import error_dict
from gridsearch.app.terminal import SilentListener, show_json
from gridsearch.base.errors import GridsearchError


def show_event(event: str, **fields: Any) -> None:
    show_json({"event": event} | fields, indent=None)


class Events(SilentListener):
    """Prints every event; see search.listener.Listener."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder

    def note(self, text: str) -> None:
        show_event("note", text=text)

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
        show_event(
            "reference",
            prompt_id=drawn.case.prompt_id,
            seed=drawn.case.seed,
            seconds=round(drawn.seconds, 3),
        )

    def trial(self, told: Any) -> None:
        show_event(
            "trial",
            trial=told.number,
            parameters=told.parameters,
            stopped=told.stopped,
            **_found(told.outcome),
        )

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        show_event(
            "check", role=check.role, trial=check.trial, parameters=dict(parameters), **_found(outcome)
        )


def _found(outcome: Any) -> dict[str, Any]:
    """Return what a trial found, or why it failed."""
    if isinstance(outcome, GridsearchError):
        return {"found": None, "error": error_dict(outcome)}
    found = {
        "survived": outcome.survived,
        "defect": outcome.defect,
        "images": len(outcome.images),
        "cases": outcome.cases,
        "verdicts": dict(Counter(row["verdict"] for row in outcome.images)),
        "stopped_early": sum(bool(row.get("stopped")) for row in outcome.images),
        "seconds": {part: round(seconds, 3) for part, seconds in outcome.seconds.items()},
    }
    return {"found": found, "error": None}
