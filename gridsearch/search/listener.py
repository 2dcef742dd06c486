"""Who is told what happens in a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gridsearch.base.errors import GridsearchError
from gridsearch.render.cases import Case
from gridsearch.score.score import Score
from gridsearch.search.checks import Check
from gridsearch.search.evaluate import Told
from gridsearch.search.trial.outcome import Outcome


class Reference(Protocol):
    """A reference that is drawn now, and what it took in seconds."""

    case: Case
    seconds: float


class Listener(Protocol):
    """Who is told what happens, when it happens."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        """A file's hash is about to be computed; returns what is told the bytes of each block."""

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        """A model's weights are about to be read through; as `hashing`."""

    def note(self, text: str) -> None:
        """Something to know before a night is spent on it."""

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        """All is loaded: the trials left (about so many, where the search ends by itself) and done, the
        images of each, and how many references are drawn first."""

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        """Images are about to be drawn for a "trial", or to check one ("held_out", "repeat"): so many are
        there already, of so many in all. `number` is the trial's, or the check's own."""

    def drawing_many(self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int) -> None:
        """Workers are at several trials ("trial"), or checks ("check"), at once: so many of all their images
        are there, of so many in all."""

    def step(self, step: int, steps: int) -> None:
        """So many steps of the batch that is under way are done."""

    def reference(self, drawn: Reference) -> None: ...

    def image(self, case: Case, score: Score) -> None: ...

    def trial(self, told: Told) -> None: ...

    def check(
        self, check: Check, parameters: Mapping[str, Any], outcome: Outcome | GridsearchError
    ) -> None: ...
