"""The listener of a run: an interface that a screen, a log or a notebook implements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gridsearch.base.errors import GridsearchError
from gridsearch.merge.weights import Reading
from gridsearch.render.cases import Case
from gridsearch.score.score import Score
from gridsearch.search.checks import Check
from gridsearch.search.evaluate import Told
from gridsearch.search.trial.outcome import Outcome


@dataclass(frozen=True)
class RenderedReference:
    """A reference image that has just been rendered, and the seconds that it took."""

    case: Case
    seconds: float


@dataclass(frozen=True)
class WorkerState:
    """A worker that holds a trial: its images of that so far, and for how many seconds it has been silent."""

    name: str
    trial: int
    images: int
    silent: float


class Listener(Reading, Protocol):
    """The events of a run, each told when it happens."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        """A file of `total` bytes is about to be hashed; the function returned takes each block's bytes."""

    def note(self, text: str) -> None:
        """A sentence that the user should read."""

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        """The models are loaded and the run begins: so many references first, then trials of so many cases.

        `done` trials ended before and `remaining` are left, which is an estimate if `about`.
        """

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        """The images of a trial are about to be rendered; `done` are there already, out of `cases`.

        Args:
            role: "trial", or that of a check: "held_out" or "repeat".
            number: the trial's, or the check's own.
        """

    def drawing_many(self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int) -> None:
        """Several trials, or checks, are being rendered at once by workers in other processes.

        They have `done` images, out of `cases` in all.
        """

    def workers(self, workers: Sequence[WorkerState]) -> None:
        """The workers in other processes that hold a trial, as the leader has just heard of them."""

    def step(self, step: int, steps: int) -> None:
        """So many denoising steps of the current batch are done."""

    def reference(self, drawn: RenderedReference) -> None:
        """A reference image has been rendered."""

    def image(self, case: Case, score: Score) -> None:
        """An image of a trial or a check has been rendered and scored."""

    def trial(self, told: Told) -> None:
        """A trial has ended."""

    def check(self, check: Check, parameters: Mapping[str, Any], outcome: Outcome | GridsearchError) -> None:
        """A check has ended."""
