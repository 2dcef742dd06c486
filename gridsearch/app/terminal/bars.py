"""Progress bars while files are read or images scored; nothing where the output is no terminal."""

from collections.abc import Callable
from functools import partial
from typing import Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gridsearch.app.terminal.silent_listener import SilentListener
from gridsearch.app.terminal.text import escape, moves, out
from gridsearch.base.words import size


class ProgressBar(SilentListener):
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

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def stop(self) -> None:
        self._progress.stop()

    def loading(self) -> None:
        self._begin("loading", None)

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin(f"hashing {name}", total, size(total))

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin(f"reading {name}", total, size(total))

    def writing(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin(f"writing {name}", total, size(total))

    def counting(self, total: int) -> Callable[[], None]:
        """Begin the bar for `total` images; the function returned is called for each one that is scored."""
        return partial(self._begin("scoring", total), 1)

    def _begin(self, description: str, total: int | None, amount: str = "") -> Callable[[int], None]:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task(escape(description), total=total, amount=amount)
        return partial(self._progress.advance, self._bar)
