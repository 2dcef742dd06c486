"""Listens to a run: a line for each trial, and on a terminal a live view under them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.live import Live

from gridsearch.app.cli.terminal.bars import Progress
from gridsearch.app.cli.terminal.night import Night, Pace, Work, best_of
from gridsearch.app.cli.terminal.text import escape, moves, out, say, settings_text, show_note, verdicts_text
from gridsearch.app.cli.terminal.view import night_view
from gridsearch.base.errors import GridsearchError

REDRAWS = 2  # a second


class Lines(Progress):
    """A line for each trial that has ended: all of search.listener.Listener that a worker has to say."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0  # of the widest settings so far

    def note(self, text: str) -> None:
        show_note(text)

    def trial(self, told: Any) -> None:
        """A line for each trial."""
        self._ended(f"trial {told.number:>4}", told.parameters, told.outcome, told.stopped)

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        """A line for each rendering that checks a trial."""
        role = "held out" if check.role == "held_out" else "again"
        self._ended(f"{role} {check.trial:>4}", parameters, outcome)

    def _ended(
        self, name: str, parameters: Mapping[str, Any], outcome: Any, stopped: str | None = None
    ) -> None:
        settings = settings_text(parameters)
        self._width = max(self._width, len(settings))
        head = escape(f"{name}  {settings:<{self._width}}  ")
        if isinstance(outcome, GridsearchError):
            out.print(f"{head}[red]failed: {escape(outcome.lines[0])}[/]", soft_wrap=True)
        else:
            aborted = sum(bool(row.get("stopped")) for row in outcome.images)
            also = f"  ({aborted} stopped early)" if aborted else ""
            also += f"  stopped: {stopped}" if stopped else ""
            seconds = sum(outcome.seconds.values())
            drawn = len(outcome.images)
            verdicts = Counter(row["verdict"] for row in outcome.images)
            share = f"{round(outcome.survived * drawn):>3}/{drawn} survived"
            out.print(
                f"{head}{share}  defect {outcome.defect:5.2f}  {seconds:6.1f} s  "
                f"{verdicts_text(verdicts)}[dim]{escape(also)}[/]",
                soft_wrap=True,
            )

    def drawing(
        self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int
    ) -> None: ...

    def step(self, step: int, steps: int) -> None: ...

    def reference(self, drawn: object) -> None: ...

    def image(self, case: object, score: Any) -> None: ...


class RunScreen(Lines):
    """See search.listener.Listener: the lines, and on a terminal a live view under them."""

    def __init__(self) -> None:
        super().__init__()
        self._night: Night | None = None
        self._live: Live | None = None

    def stop(self) -> None:
        super().stop()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        resumed = f", {done} done before" if done else ""
        drawn = "references first" if references else "references kept"
        say(f"{'About ' if about else ''}{remaining} trials of {cases} images{resumed}; {drawn}.")
        first = Work("references", {}, 0, references) if references else Work("trial", {}, 0, cases)
        self._night = Night(done, remaining, cases, about, Pace(), first)
        super().stop()
        if moves():
            self._live = Live(
                get_renderable=lambda: night_view(self._night),
                console=out,
                transient=True,
                refresh_per_second=REDRAWS,
            )
            self._live.start()

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        self._night.work = Work(role, parameters, done, cases)

    def drawing_many(self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int) -> None:
        self._night.work = Work(role, {}, done, cases, many=tuple(parameters))

    def step(self, step: int, steps: int) -> None:
        self._night.step(step, steps)

    def reference(self, drawn: object) -> None:
        self._night.image()

    def image(self, case: object, score: Any) -> None:
        self._night.image(score.verdict)

    def trial(self, told: Any) -> None:
        super().trial(told)
        if self._night is not None:
            self._night.ended(told.parameters, told.outcome, told.stopped)

    def found(self, best: Mapping[str, Any]) -> None:
        """What best.json says now."""
        self._night.best = best_of(best) or self._night.best
