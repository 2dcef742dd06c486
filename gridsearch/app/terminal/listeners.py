"""Listeners of a run: a silent one, bars while files are read, a line for each trial, and a live view."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

from rich import progress
from rich.live import Live
from rich.text import Text

from gridsearch.app.terminal.live_view import CurrentWork, Pace, RunProgress, live_view
from gridsearch.app.terminal.text import (
    MOST_SETTINGS,
    VERDICT_STYLES,
    escape,
    moves,
    out,
    say,
    settings_text,
    show_note,
    verdicts_text,
)
from gridsearch.base.errors import GridsearchError
from gridsearch.base.words import duration, shorten, size

SETTINGS_WIDTH = 28  # of the settings in a line of a terminal


class SilentListener:
    """Ignores everything, for `run --quiet`, and as a base of others; see search.listener.Listener.

    Beyond that interface, `stop` is told to take everything that moves off the screen, `loading` that heavy
    packages are being imported, `found` the content of best.json when the report has been refreshed, and
    `state` the run's app.run_state.RunState every few seconds.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _ignore(self, *_: Any, **__: Any) -> None:
        """Do nothing about an event."""

    stop = loading = found = state = note = start = workers = _ignore
    drawing = drawing_many = step = reference = image = trial = check = _ignore

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._ignore

    reading = writing = comparing = hashing


class TimeColumn(progress.ProgressColumn):
    """The time of a bar: elapsed, and as soon as that can be told, left."""

    def render(self, task: progress.Task) -> Text:
        said = f"{duration(task.elapsed or 0)} elapsed"
        left = task.time_remaining if task.total else None
        return Text(said if left is None or task.finished else f"{said}, about {duration(left)} left")


class ProgressBar(SilentListener):
    """A bar while files are read or images scored, and one for hashing beside it; none off a terminal."""

    def __init__(self, shown: bool = True) -> None:
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[amount]}"),
            TimeColumn(),
            console=out,
            transient=True,
            disable=not (shown and moves()),
        )
        self._bars: dict[str, progress.TaskID] = {}
        self._shown = shown

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def stop(self) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        if self._shown:
            show_note(text)

    def loading(self) -> None:
        self._begin("loading", "", None)

    def hashing(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin("hashing", name, total, size(total))

    def reading(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin("reading", name, total, size(total))

    def comparing(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin("comparing", name, total, size(total))

    def writing(self, name: str, total: int) -> Callable[[int], None]:
        return self._begin("writing", name, total, size(total))

    def counting(self, total: int) -> Callable[[], None]:
        """Begin the bar for `total` images; the function returned is called for each one that is scored."""
        return partial(self._begin("scoring", "", total), 1)

    def _begin(self, work: str, name: str, total: int | None, amount: str = "") -> Callable[[int], None]:
        place = "beside" if work == "hashing" else "first"
        if place in self._bars:
            self._progress.remove_task(self._bars[place])
        self._bars[place] = self._progress.add_task(f"{work} {escape(name)}", total=total, amount=amount)
        return partial(self._progress.advance, self._bars[place])


class TrialLines(ProgressBar):
    """A line for each trial and check that has ended; enough for a worker."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0  # of the widest settings so far

    def trial(self, told: Any) -> None:
        self._show_line(f"trial {told.number:>4}", told.parameters, told.outcome, told.stopped)

    def check(self, check: Any, parameters: Mapping[str, Any], outcome: Any) -> None:
        role = "held out" if check.role == "held_out" else "again"
        self._show_line(f"{role} {check.trial:>4}", parameters, outcome, None)

    def _show_line(self, name: str, parameters: Mapping[str, Any], outcome: Any, stopped: str | None) -> None:
        terminal = moves()  # its lines are short; a file has everything
        settings = settings_text(parameters, MOST_SETTINGS if terminal else None)
        settings = shorten(settings, SETTINGS_WIDTH) if terminal else settings
        self._width = max(self._width, len(settings))
        head = escape(f"{name}  {settings:<{self._width}}  ")
        if isinstance(outcome, GridsearchError):
            out.print(f"{head}[red]failed: {escape(outcome.lines[0])}[/]", soft_wrap=True)
            return
        aborted = sum(bool(row.get("stopped")) for row in outcome.images)
        also = f"  ({aborted} stopped early)" if aborted and not terminal else ""
        also += f"  stopped{'' if terminal else f': {stopped}'}" if stopped else ""
        rendered, seconds = len(outcome.images), sum(outcome.seconds.values())
        verdicts = Counter(row["verdict"] for row in outcome.images)
        sound = verdicts.pop("ok", 0)
        out.print(
            f"{head}{sound:>3}/{rendered} [{VERDICT_STYLES['ok']}]ok[/]  defect {outcome.defect:5.2f}  "
            f"{seconds:6.1f} s  {verdicts_text(verdicts)}[dim]{escape(also)}[/]",
            soft_wrap=not terminal,
            no_wrap=True,
            overflow="ellipsis" if terminal else "ignore",
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
        trials = f"At most {remaining} trials of up to" if about else f"{remaining} trials of"
        say(f"{trials} {cases} images{earlier}; {first}.")
        work = CurrentWork("references" if references else "trial", {}, 0, references or cases)
        self._run = RunProgress(done, remaining, cases, about, Pace(), work)
        super().stop()
        if moves():
            view = partial(live_view, self._run)
            self._live = Live(get_renderable=view, console=out, transient=True, refresh_per_second=2)
            self._live.start()

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        self._run.work = CurrentWork(role, parameters, done, cases)

    def drawing_many(self, role: str, parameters: Sequence[Mapping[str, Any]], done: int, cases: int) -> None:
        self._run.work = CurrentWork(role, {}, done, cases, many=tuple(parameters))

    def state(self, state: Any) -> None:
        self._run.workers = state.workers

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
        if "trial" in best:  # there is one already
            self._run.best = best
