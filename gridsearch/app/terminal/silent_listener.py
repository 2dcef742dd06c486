"""A listener of a run that shows nothing: for `run --quiet`, and a base for others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class SilentListener:
    """Ignores everything; see search.listener.Listener."""

    def __enter__(self) -> "SilentListener":
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take everything that moves off the screen."""

    def loading(self) -> None:
        """The heavy packages are being imported."""

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return lambda _: None

    reading = writing = hashing

    def note(self, text: str) -> None: ...

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None: ...

    def drawing(
        self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int
    ) -> None: ...

    def drawing_many(
        self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int
    ) -> None: ...

    def step(self, step: int, steps: int) -> None: ...

    def reference(self, drawn: Any) -> None: ...

    def image(self, case: Any, score: Any) -> None: ...

    def trial(self, told: Any) -> None: ...

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None: ...

    def found(self, best: Mapping[str, Any]) -> None:
        """The report has been refreshed; `best` is the content of best.json."""
