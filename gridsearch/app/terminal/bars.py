"""Progress bars while files are read or images scored; nothing where the output is no terminal."""

from collections.abc import Callable

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gridsearch.app.terminal.text import escape, moves, out
from gridsearch.base.words import size


class ProgressBar:
    """One bar at a time.

    Args:
        shown: False where the output is for a program.
    """

    def __init__(self, shown: bool = True) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=out,
            transient=True,
            disable=not (shown and moves()),
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take everything that moves off the screen."""
        self._progress.stop()

    def loading(self) -> None:
        """Show that the heavy packages are being imported."""
        self._begin("loading", None)

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"hashing {name}", total)

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"reading {name}", total)

    def writing(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"writing {name}", total)

    def counting(self, total: int) -> Callable[[], None]:
        """Begin the bar for `total` images; call what is returned for each one that is scored."""
        self._begin("scoring", total)
        return lambda: self._advance(1)

    def _bytes(self, description: str, total: int) -> Callable[[int], None]:
        self._begin(description, total, amount=size(total))
        return self._advance

    def _begin(self, description: str, total: int | None, amount: str = "") -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task(escape(description), total=total, amount=amount)

    def _advance(self, by: int) -> None:
        self._progress.advance(self._bar, by)
