"""The live view of a run, a few lines at the foot of the terminal: how far, how fast, and the best so far."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import RenderableType
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from gridsearch.app.run_state import workers_text
from gridsearch.app.terminal.text import MOST_SETTINGS, escape, settings_text, verdicts_text
from gridsearch.base.errors import GridsearchError
from gridsearch.base.words import duration

RECENT_IMAGES = 500  # the speed is theirs; an hour ago another program may have used the machine
BAR_WIDTH = 60  # columns, at most
ROLES = {
    "held_out": "checking on held-out prompts: ",
    "repeat": "checking by rendering again: ",
    "check": "checking: ",
}


class Pace:
    """The speed of a run. A case that a race has spared counts for the time left, but not as rendered."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()
        # time, cases rendered, cases settled (rendered or spared)
        self._marks = deque([(self._began, 0, 0)], maxlen=RECENT_IMAGES)

    def settle(self, rendered: int, spared: int = 0) -> None:
        """Count cases that were rendered, or spared, since the last call."""
        _, before, settled = self._marks[-1]
        self._marks.append((self._clock(), before + rendered, settled + rendered + spared))

    @property
    def seconds(self) -> float:
        """The time since the run began."""
        return self._clock() - self._began

    def per_minute(self) -> float | None:
        """Return the images rendered per minute; None before the first."""
        (since, before, _), (_, rendered, _) = self._marks[0], self._marks[-1]
        return 60 * (rendered - before) / max(self._clock() - since, 1e-6) if rendered > before else None

    def seconds_for(self, cases: int) -> float | None:
        """Return how long this many cases will take; None before the first image."""
        (since, _, before), (_, _, settled) = self._marks[0], self._marks[-1]
        return cases * (self._clock() - since) / (settled - before) if settled > before else None


@dataclass(frozen=True)
class CurrentWork:
    """The images that are being rendered."""

    role: str  # "references", "trial", "held_out", "repeat", or "check" of several at once
    parameters: Mapping[str, Any]
    rendered: int  # images that are there
    cases: int  # images that there will be
    step: int = 0  # of the batch that is being denoised
    steps: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    many: tuple[Mapping[str, Any], ...] = ()  # where several trials or checks are rendered at once


@dataclass
class RunProgress:
    """The state of a run in progress."""

    done: int  # trials that have ended
    left: int  # trials to come
    cases: int  # images per trial
    about: bool  # whether `left` is an estimate, as where the search ends by itself
    pace: Pace
    work: CurrentWork
    best: Mapping[str, Any] | None = None  # trial so far, as in best.json
    workers: list[dict[str, Any]] = field(default_factory=list)  # in other processes, as in RunState

    @property
    def cases_left(self) -> int:
        """The images still to be rendered for the search, or for its checks once they have begun."""
        if self.work.role in ROLES:
            return self.work.cases - self.work.rendered
        ahead = self.left * self.cases
        return ahead + self.work.cases if self.work.role == "references" else ahead - self.work.rendered

    def image(self, *verdicts: str) -> None:
        """Count an image, with its verdict where it has one."""
        counts = Counter(self.work.verdicts) + Counter(verdicts)
        self.work = replace(self.work, rendered=self.work.rendered + 1, verdicts=counts)
        self.pace.settle(1)

    def end_trial(self, parameters: Mapping[str, Any], outcome: Any, stopped: str | None) -> None:
        """Count a trial of the search that has ended with an outcome, or with the error it failed by."""
        self.done, self.left = self.done + 1, max(self.left - 1, 0)
        self.work = CurrentWork("trial", {}, 0, self.cases)
        if isinstance(outcome, GridsearchError):
            return
        self.pace.settle(0, outcome.cases - len(outcome.images))
        before = self.best or {"survived": -1.0, "defect": 0.0, "interval": None}
        rank = (-outcome.survived, outcome.defect)
        if stopped is None and rank < (-before["survived"], before["defect"]):
            self.best = {
                "parameters": parameters,
                "survived": outcome.survived,
                "defect": outcome.defect,
                "images": len(outcome.images),
                "interval": before["interval"],
            }


def live_view(run: RunProgress) -> RenderableType:
    """Return the view, a line for each fact. A line too long for the terminal is cut, never folded."""
    rendered = run.done * run.cases + (run.work.rendered if run.work.role == "trial" else 0)
    total = max((run.done + run.left) * run.cases, 1)
    if run.work.role in ROLES:  # the search has ended
        rendered, total = run.work.rendered, max(run.work.cases, 1)
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_row("", "")
    grid.add_row("", Bar(total, rendered, width=BAR_WIDTH, complete_style="cyan"))
    for label, text in _facts(run):
        if text:
            grid.add_row(label, Text.from_markup(text))
    return grid


def _facts(run: RunProgress) -> Iterator[tuple[str, str]]:
    """Yield the label of each line and its text, in markup."""
    work, pace = run.work, run.pace
    left = "the search has ended" if work.role in ROLES else f"{run.left} left{' at most' * run.about}"
    yield "trials", f"{run.done} done, {left}"
    many = (settings_text(one, MOST_SETTINGS) for one in work.many or [work.parameters])
    now = ROLES.get(work.role, "") + "; ".join(many)
    yield "now", "references: what healthy images look like" if work.role == "references" else escape(now)
    step = f", step {work.step} of {work.steps}" if work.steps else ""
    counts = verdicts_text(work.verdicts)
    yield "images", f"{work.rendered} of {work.cases}{step}" + (f"   {counts}" if counts else "")
    per_minute, seconds = pace.per_minute(), pace.seconds_for(run.cases_left)
    speed = [] if seconds is None else [f"{'at most ' * run.about}about {duration(seconds)} left"]
    speed += [] if per_minute is None else [f"{per_minute:.3g} images per minute"]
    yield "time", ", ".join([*speed, f"{duration(pace.seconds)} so far"])
    yield "workers", escape(workers_text(run.workers)) if run.workers else ""
    if best := run.best:
        sound = f"{round(best['survived'] * best['images'])} of {best['images']} healthy"
        yield (
            "best",
            escape(
                f"{settings_text(best['parameters'], MOST_SETTINGS)}: {sound}, defect {best['defect']:.2f}"
            ),
        )
        if interval := best["interval"]:
            sure = f"{interval['level']:.0%} sure, over {interval['prompts']} prompts"
            yield "best in", f"{interval['low']:.3g} to {interval['high']:.3g}, {sure}"
