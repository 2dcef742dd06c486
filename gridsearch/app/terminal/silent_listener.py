"""A listener of a run that shows nothing: for `run --quiet`, and a base for others."""

from collections.abc import Callable
from typing import Any, Self


class SilentListener:
    """Ignores everything; see search.listener.Listener.

    Beyond that interface, `stop` is told to take everything that moves off the screen, `loading` that heavy
    packages are being imported, and `found` the content of best.json when the report has been refreshed.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _ignore(self, *_: Any, **__: Any) -> None:
        """Do nothing about an event."""

    stop = loading = found = note = start = _ignore
    drawing = drawing_many = step = reference = image = trial = check = _ignore

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._ignore

    reading = writing = hashing
