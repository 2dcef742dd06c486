"""Bars while files are read or images scored; nothing where the output is no terminal."""

from collections.abc import Callable

from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from gridsearch.app.cli.terminal.text import escape, moves, out
from gridsearch.base.words import size


class Progress:
    """One bar at a time. `shown=False` where the output is for a program."""

    def __init__(self, shown: bool = True) -> None:
        self._bars = Bars(
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

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take everything that moves off the screen."""
        self._bars.stop()

    def loading(self) -> None:
        """The heavy packages are being imported."""
        self._begin("loading", None)

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"hashing {name}", total)

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"reading {name}", total)

    def writing(self, name: str, total: int) -> Callable[[int], None]:
        return self._bytes(f"writing {name}", total)

    def counting(self, total: int) -> Callable[[], None]:
        """`total` images are about to be scored."""
        self._begin("scoring", total)
        return lambda: self._advance(1)

    def _bytes(self, description: str, total: int) -> Callable[[int], None]:
        self._begin(description, total, amount=size(total))
        return self._advance

    def _begin(self, description: str, total: int | None, amount: str = "") -> None:
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(escape(description), total=total, amount=amount)

    def _advance(self, by: int) -> None:
        self._bars.advance(self._bar, by)
