"""Listens to a run and says nothing: `run --quiet`, and what `run --json` starts from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Silent:
    """See search.run.Listener."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None: ...

    def loading(self) -> None: ...

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return lambda _: None

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        return lambda _: None

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

    def found(self, best: Mapping[str, Any]) -> None: ...
