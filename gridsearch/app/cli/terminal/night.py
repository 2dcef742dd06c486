"""What is known of a run while it goes on: how far it is, how fast, and what is the best so far."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gridsearch.base.errors import GridsearchError

RECENT = 500  # images that tell the speed; an hour ago another program may have had the machine


class Pace:
    """How fast cases are done with. One that a race has spared counts for the time left, not as drawn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.began = clock()
        self._marks = deque([(self.began, 0, 0)], maxlen=RECENT)  # time, cases drawn, cases done with

    def settle(self, drawn: int, spared: int = 0) -> None:
        _, before, settled = self._marks[-1]
        self._marks.append((self._clock(), before + drawn, settled + drawn + spared))

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self.began

    def per_minute(self) -> float | None:
        """Images drawn a minute; None before the first."""
        (since, before, _), (_, drawn, _) = self._marks[0], self._marks[-1]
        return 60 * (drawn - before) / max(self._clock() - since, 1e-6) if drawn > before else None

    def seconds_for(self, cases: int) -> float | None:
        """How long so many cases will take; None before the first."""
        (since, _, before), (_, _, settled) = self._marks[0], self._marks[-1]
        return cases * (self._clock() - since) / (settled - before) if settled > before else None


@dataclass(frozen=True)
class Best:
    """The best trial so far, and between which ratios the best of all lies, in words."""

    parameters: Mapping[str, Any]
    survived: float
    defect: float
    images: int
    interval: str | None = None

    def beats(self, other: "Best | None") -> bool:
        return other is None or (-self.survived, self.defect) < (-other.survived, other.defect)


@dataclass(frozen=True)
class Work:
    """What is being drawn now.

    Attributes:
        role: "references", "trial", "held_out", "repeat", or "check" of several at once.
        drawn, cases: how many images are there, and will be.
        step, steps: of the batch that is being denoised.
        many: the parameters, where several are drawn at once.
    """

    role: str
    parameters: Mapping[str, Any]
    drawn: int
    cases: int
    step: int = 0
    steps: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    many: tuple[Mapping[str, Any], ...] = ()

    def with_image(self, verdict: str | None = None) -> "Work":
        counts = dict(self.verdicts)
        if verdict is not None:
            counts[verdict] = counts.get(verdict, 0) + 1
        return replace(self, drawn=self.drawn + 1, verdicts=counts)


@dataclass
class Night:
    """A run on its way.

    Attributes:
        done, left: trials that have ended, and that are to come.
        about: whether that is a guess, as where the search ends by itself.
        cases: images of a trial.
    """

    done: int
    left: int
    cases: int
    about: bool
    pace: Pace
    work: Work
    best: Best | None = None

    @property
    def cases_left(self) -> int:
        """Images that are still to be drawn for the search; what checks it comes after them."""
        if self.work.role in ("held_out", "repeat", "check"):
            return self.work.cases - self.work.drawn
        ahead = self.left * self.cases
        return ahead + self.work.cases if self.work.role == "references" else ahead - self.work.drawn

    def image(self, verdict: str | None = None) -> None:
        self.work = self.work.with_image(verdict)
        self.pace.settle(1)

    def step(self, step: int, steps: int) -> None:
        self.work = replace(self.work, step=step, steps=steps)

    def ended(self, parameters: Mapping[str, Any], outcome: Any, stopped: str | None) -> None:
        """A trial of the search has ended: with what it found, or with the error that it failed by."""
        self.done, self.left = self.done + 1, max(self.left - 1, 0)
        self.work = Work("trial", {}, 0, self.cases)
        if isinstance(outcome, GridsearchError):
            return
        self.pace.settle(0, outcome.cases - len(outcome.images))
        found = Best(parameters, outcome.survived, outcome.defect, len(outcome.images))
        if stopped is None and found.beats(self.best):
            self.best = replace(found, interval=self.best and self.best.interval)


def best_of(document: Mapping[str, Any]) -> Best | None:
    """The best as `best.json` has it; None where there is none yet."""
    if "trial" not in document:
        return None
    interval = document["interval"]
    sure = interval and (
        f"{interval['low']:.3g} to {interval['high']:.3g}, {interval['level']:.0%} sure, "
        f"over {interval['prompts']} prompts"
    )
    return Best(
        document["parameters"], document["survived"], document["defect"], document["images"], sure or None
    )
