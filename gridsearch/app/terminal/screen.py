"""Listeners that show a run: a line for each trial, and on a terminal a live view below the lines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rich.live import Live

from gridsearch.app.terminal.bars import ProgressBar
from gridsearch.app.terminal.live_view import live_view
from gridsearch.app.terminal.run_progress import CurrentWork, Pace, RunProgress, best_in
from gridsearch.app.terminal.text import escape, moves, out, say, settings_text, show_note, verdicts_text
from gridsearch.base.errors import GridsearchError

REFRESHES = 2  # per second


class TrialLines(ProgressBar):
    """A line for each trial and check that has ended; enough for a worker."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0  # of the widest settings so far

    def note(self, text: str) -> None:
        show_note(text)

    def trial(self, told: Any) -> None:
        self._show_line(f"trial {told.number:>4}", told.parameters, told.outcome, told.stopped)

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        role = "held out" if check.role == "held_out" else "again"
        self._show_line(f"{role} {check.trial:>4}", parameters, outcome)

    def _show_line(
        self, name: str, parameters: Mapping[str, Any], outcome: Any, stopped: str | None = None
    ) -> None:
        settings = settings_text(parameters)
        self._width = max(self._width, len(settings))
        head = escape(f"{name}  {settings:<{self._width}}  ")
        if isinstance(outcome, GridsearchError):
            out.print(f"{head}[red]failed: {escape(outcome.lines[0])}[/]", soft_wrap=True)
            return
        aborted = sum(bool(row.get("stopped")) for row in outcome.images)
        also = f"  ({aborted} stopped early)" if aborted else ""
        also += f"  stopped: {stopped}" if stopped else ""
        seconds = sum(outcome.seconds.values())
        rendered = len(outcome.images)
        verdicts = Counter(row["verdict"] for row in outcome.images)
        share = f"{round(outcome.survived * rendered):>3}/{rendered} survived"
        out.print(
            f"{head}{share}  defect {outcome.defect:5.2f}  {seconds:6.1f} s  "
            f"{verdicts_text(verdicts)}[dim]{escape(also)}[/]",
            soft_wrap=True,
        )


class RunScreen(TrialLines):
    """The lines, and on a terminal the live view below them."""

    def __init__(self) -> None:
        super().__init__()
        self._run = RunProgress(0, 0, 0, False, Pace(), CurrentWork("trial", {}, 0, 0))
        self._live: Live | None = None

    def stop(self) -> None:
        super().stop()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        earlier = f", {done} already done" if done else ""
        first = "references first" if references else "references already rendered"
        say(f"{'About ' if about else ''}{remaining} trials of {cases} images{earlier}; {first}.")
        work = CurrentWork("references" if references else "trial", {}, 0, references or cases)
        self._run = RunProgress(done, remaining, cases, about, Pace(), work)
        super().stop()
        if moves():
            view = partial(live_view, self._run)
            self._live = Live(get_renderable=view, console=out, transient=True, refresh_per_second=REFRESHES)
            self._live.start()

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        self._run.work = CurrentWork(role, parameters, done, cases)

    def drawing_many(self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int) -> None:
        self._run.work = CurrentWork(role, {}, done, cases, many=tuple(parameters))

    def step(self, step: int, steps: int) -> None:
        self._run.work = replace(self._run.work, step=step, steps=steps)

    def reference(self, drawn: object) -> None:
        self._run.image()

    def image(self, case: object, score: Any) -> None:
        self._run.image(score.verdict)

    def trial(self, told: Any) -> None:
        super().trial(told)
        self._run.end_trial(told.parameters, told.outcome, told.stopped)

    def found(self, best: Mapping[str, Any]) -> None:
        self._run.best = best_in(best) or self._run.best
