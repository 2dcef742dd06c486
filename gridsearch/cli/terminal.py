"""What the command line shows: errors, tables, progress."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape as without_markup
from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table

from gridsearch.errors import GridsearchError
from gridsearch.units import duration, size

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line end

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def escape(text: str) -> str:
    """Text from outside, which can neither mark itself up nor command the terminal."""
    return without_markup(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def say(text: str) -> None:
    """One line for people."""
    out.print(escape(text), soft_wrap=True)


def show_note(text: str) -> None:
    """One line that does not stop anything."""
    out.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)


def show_error(error: GridsearchError) -> None:
    """Its one to four lines, on stderr."""
    first, *rest = error.lines
    err.print(f"[bold red]error:[/] {escape(first)}", soft_wrap=True)
    for line in rest:
        err.print(escape(line), soft_wrap=True)


# -- progress


class Progress:
    """Bars on a terminal, plain lines elsewhere. Listens to a run."""

    def __init__(self) -> None:
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
            disable=not out.is_terminal,
        )
        self._bar: TaskID | None = None
        self._width = 0  # of the widest settings so far
        self._verdicts: dict[str, int] = {}

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bars off the screen."""
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

    # -- the run's own events (see search.run.Listener)

    def note(self, text: str) -> None:
        show_note(text)

    def start(self, remaining: int, done: int, cases: int, references: bool, about: bool) -> None:
        resumed = f", {done} done before" if done else ""
        drawn = "references first" if references else "references kept"
        say(f"{'About ' if about else ''}{remaining} trials of {cases} images{resumed}; {drawn}.")
        self._begin("images", remaining * cases)

    def reference(self, drawn: object) -> None:
        self._bars.update(self._bar, description="references")

    def image(self, case: object, score: Any) -> None:
        self._verdicts[score.verdict] = self._verdicts.get(score.verdict, 0) + 1
        self._bars.update(self._bar, description="images", advance=1)

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
        head = f"{name}  {settings:<{self._width}}  "
        if isinstance(outcome, GridsearchError):
            out.print(f"{escape(head)}[red]failed: {escape(outcome.lines[0])}[/]", soft_wrap=True)
        else:
            found = "  ".join(f"{verdict} {count}" for verdict, count in sorted(self._verdicts.items()))
            aborted = sum(bool(row.get("stopped")) for row in outcome.images)
            found += f"  ({aborted} stopped early)" if aborted else ""
            found += f"  stopped: {stopped}" if stopped else ""
            seconds = sum(outcome.seconds.values())
            drawn = len(outcome.images)
            if self._bar is not None:
                self._advance(outcome.cases - drawn)
            share = f"{round(outcome.survived * drawn):>3}/{drawn} survived"
            out.print(
                f"{escape(head)}{share}  defect {outcome.defect:5.2f}  {seconds:6.1f} s  "
                f"[dim]{escape(found)}[/]",
                soft_wrap=True,
            )
        self._verdicts = {}


# -- tables and answers


def settings_text(parameters: Mapping[str, Any]) -> str:
    """`ratio 0.35, cfg 4`."""
    return ", ".join(
        f"{name.removeprefix('render.')} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in parameters.items()
    )


def show_checkpoint(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Everything `inspect` knows of a file. Lines are not folded, so that a hash can be copied whole."""
    out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    labels = [label for label, _ in rows]
    inner = {label for label in labels if label.startswith(" ")}  # a column of their own
    for label, value in rows:
        width = max(len(other) for other in labels if (other in inner) == (label in inner))
        words = value.replace("\n", "\n" + " " * (width + 4))
        out.print(f"  [dim]{escape(label.ljust(width))}[/]  {escape(words)}", soft_wrap=True)
    out.print()


def show_plan(plan: Any) -> None:
    """What a run will do, and what it needs."""
    experiment = plan.experiment
    models = Table(title="models", box=box.SIMPLE, title_justify="left")
    for heading in ("name", "file", "size", "dtype", "predicts", "read from"):
        models.add_column(heading, overflow="fold")
    for name, checkpoint in plan.parents.checkpoints.items():
        prediction = plan.parents.predictions[name]
        models.add_row(
            escape(name),
            escape(checkpoint.path.name),
            size(checkpoint.bytes),
            ", ".join(checkpoint.dtypes),
            prediction.type,
            prediction.source,
        )
    out.print(models)
    table = Table(
        title=escape(f"plan for {experiment.name}"), box=box.SIMPLE, show_header=False, title_justify="left"
    )
    for step in experiment.merge:
        table.add_row(escape(step.name), escape(f"{step.method} of {step.inputs_text()}"))
    table.add_row("VAE", escape(_component_text(experiment.vae_source())))
    table.add_row("text encoders", escape(_component_text(experiment.components.text_encoders)))
    for name, values in plan.searched.items():
        table.add_row(escape(name), escape(_values_text(values)))
    for scorer in experiment.score.scorer:
        weighs = f"weight {scorer.weight:g}, {scorer.direction} is better" if scorer.weight else "a column"
        table.add_row(escape(scorer.name), weighs)
    for name, text in _search_rows(plan):
        table.add_row(name, escape(text))
    table.add_row("disk", f"about {size(plan.disk)} of {size(plan.disk_free)} free")
    memory = plan.memory
    table.add_row("models", f"{size(memory.residence.sources)}, {memory.residence}")
    if memory.device_free != memory.host_free:
        table.add_row("GPU memory", f"at most {size(memory.device)} of {size(memory.device_free)} free")
    table.add_row("memory", f"at most {size(memory.host)} of {size(memory.host_free)} free")
    out.print(table)
    out.print(_settings_table(plan.settings))
    for warning in plan.warnings:
        show_note(warning)


def _search_rows(plan: Any) -> list[tuple[str, str]]:
    """How much is drawn, of what, and how long that takes."""
    search = plan.experiment.search
    apart = f"; {plan.held_out} cases are held out" if plan.held_out else ""
    about = "about " if search.sampler == "window" else ""
    also = f"{plan.references} references, {plan.checks} checks at the end"
    span = _span(plan.fewest_seconds, plan.seconds, duration)
    race = "; a trial that cannot win is stopped early" if search.races() else ""
    return [
        ("sampler", f"{search.sampler}{race}"),
        ("trials", f"{about}{_span(plan.fewest, plan.trials, '{:,}'.format)} of {plan.cases} cases{apart}"),
        ("images", f"{about or 'at most '}{plan.images:,}: {also}"),
        ("time", f"about {span} (from {plan.seconds_from})"),
    ]


def _span(low: float, high: float, text: Callable[[float], str]) -> str:
    return text(high) if text(low) == text(high) else f"{text(low)} to {text(high)}"


def _settings_table(settings: Sequence[Mapping[str, str]]) -> Table:
    """How the images are drawn, and where each value is from; in one line what all have by default."""
    table = Table(title="how images are drawn", box=box.SIMPLE, show_header=False, title_justify="left")
    usual = [row for row in settings if row["source"] == "the default"]
    for row in settings:
        if row not in usual:
            table.add_row(escape(row["setting"]), escape(row["value"]), escape(row["source"]))
    defaults = ", ".join(f"{row['setting']} {row['value']}" for row in usual)
    table.add_row("the rest", escape(defaults), "the defaults")
    return table


def _component_text(source: str) -> str:
    return "merged" if source == "merged" else f"of {source}"


def _values_text(values: Any) -> str:
    if isinstance(values, tuple):
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    step = f" in steps of {values.step:g}" if values.step else ""
    return f"{values.low:g} to {values.high:g}{step}"


def show_scores(table: Any) -> None:
    """A table of all whole images, and one of each grid's cells. Few columns, to leave the reasons room."""
    shown = ["verdict", "defect", "blur", "noise", "reason"]
    is_cell = table["column"].notna()
    if not is_cell.all():
        show_table(table.loc[~is_cell, ["image", *shown]])
    for image, cells in table[is_cell].groupby("image", sort=False):
        show_table(cells[["row", "column", *shown]], title=image)


def show_table(table: Any, title: str | None = None) -> None:
    """A pandas table; numbers with three digits, nothing where there is no value."""
    from pandas import isna
    from pandas.api.types import is_numeric_dtype

    shown = Table(title=title and escape(title), box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.columns:
        is_text = not is_numeric_dtype(table[name])
        shown.add_column(
            escape(str(name)), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text
        )
    for row in table.itertuples(index=False):
        texts = (f"{value:.3g}" if isinstance(value, float) else escape(str(value)) for value in row)
        shown.add_row(*("" if isna(value) else text for value, text in zip(row, texts, strict=True)))
    out.print(shown)


def show_answer(results: Any, answer: Any) -> None:
    """The last screen of a run."""
    from gridsearch.report.last_screen import last_lines
    from gridsearch.report.stops import savings_text

    out.print()
    out.print(f"[bold]{escape(answer.sentence)}[/]")
    for line in last_lines(results, answer):
        say(line)
    if savings := savings_text(results.images):
        say(f"  saved   {savings}")
    say(f"  report  {results.folder / 'report.html'}")
    say(f"  sheet   {results.folder / 'sheet.png'}")
    say(f"  export  gridsearch export {shlex.quote(str(results.folder))} -o best.safetensors")
