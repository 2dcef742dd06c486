"""The workers that a run has on this machine: processes of their own, or this process."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol


class Crew(Protocol):
    """The workers of a run on this machine."""

    @property
    def size(self) -> int:
        """The number of workers."""

    @property
    def here(self) -> bool:
        """Whether it is the leader's own process, which tells the listener of each image itself."""

    def look(self, heard: Collection[str]) -> list[str]:
        """Return the names of the workers that died since the last look; others take their places.

        Args:
            heard: names of the workers that have taken a trial.

        Raises:
            RunFailed: no worker is left.
        """

    def wait(self, seconds: float) -> None:
        """Pass the time until the leader's next look."""

    def stop(self) -> None:
        """End the workers, and wait until they have ended."""


@dataclass(frozen=True)
class InProcess:
    """A crew of one, in the leader's own process: it works while the leader waits.

    Attributes:
        work: take a trial that waits and evaluate it; returns whether there was one.
    """

    work: Callable[[], bool]
    size: int = 1
    here: bool = True

    def look(self, heard: Collection[str]) -> list[str]:
        return []

    def wait(self, seconds: float) -> None:
        if not self.work():
            time.sleep(seconds)

    def stop(self) -> None:
        pass
