"""The types of the lines that `gridsearch run --json` prints, each an event."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gridsearch.app.cli.document_types import ErrorFields, Seconds, StateFields
from gridsearch.results.analysis.answer import Parameters
from gridsearch.results.analysis.best_json import BestDocument
from gridsearch.results.columns import Count, Distance, ZeroToOne
from gridsearch.score.verdict import VerdictName


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


Found = Annotated[TrialResult | None, Field(description="null where it failed.")]
Failure = Annotated[ErrorFields | None, Field(description="Why it failed.")]


class TrialEvent(TypedDict):
    event: Literal["trial"]
    trial: Count
    parameters: Parameters
    stopped: str | None
    """Why it was not drawn to its end."""
    found: Found
    error: Failure


class CheckEvent(TypedDict):
    event: Literal["check"]
    role: Literal["held_out", "repeat"]
    trial: Count
    parameters: Parameters
    found: Found
    error: Failure


class NoteEvent(TypedDict):
    event: Literal["note"]
    text: str


class ReferenceEvent(TypedDict):
    event: Literal["reference"]
    prompt_id: str
    seed: Count
    seconds: Seconds


class StateEvent(StateFields):
    """The state of the run, every minute and at its end."""

    event: Literal["state"]


class AnswerEvent(TypedDict):
    event: Literal["answer"]
    folder: str
    best: BestDocument | None


class InterruptedEvent(TypedDict):
    event: Literal["interrupted"]


class ErrorEvent(TypedDict):
    event: Literal["error"]
    error: ErrorFields


OfTrials = StartEvent | StateEvent | ReferenceEvent | TrialEvent | CheckEvent | AnswerEvent
Event = Annotated[NoteEvent | OfTrials | InterruptedEvent | ErrorEvent, Field(discriminator="event")]
