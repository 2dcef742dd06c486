"""A run on its way, as a few calm lines at the foot of the terminal."""

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gridsearch.app.cli.terminal.night import Best, Night, Work
from gridsearch.app.cli.terminal.text import escape, settings_text, verdicts_text
from gridsearch.base.words import duration

WIDEST = 60  # of the bar, in columns
ROLES = {
    "held_out": "checking, on the prompts kept apart: ",
    "repeat": "checking, drawn once more: ",
    "check": "checking: ",
}


def night_view(night: Night) -> RenderableType:
    """A line for each thing to know. What is too long for the terminal is cut, never folded."""
    total = night.done + night.left
    of = f"{min(night.done + 1, total)} of {'about ' if night.about else ''}{total}"
    whole = total * night.cases
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_row("", "")
    drawn = max(whole - _ahead(night), 0)
    grid.add_row("", ProgressBar(max(whole, 1), drawn, width=WIDEST, complete_style="cyan"))
    for label, text in (
        ("trial", of),
        ("now", escape(now_text(night.work))),
        ("images", images_text(night.work)),
        ("time", speed_text(night)),
        ("best", night.best and escape(best_text(night.best))),
        ("best in", night.best and night.best.interval and escape(night.best.interval)),
    ):
        if text:
            grid.add_row(label, Text.from_markup(text))
    return grid


def _ahead(night: Night) -> int:
    """Images of the search that are still to come."""
    return night.left * night.cases - (night.work.drawn if night.work.role == "trial" else 0)


def now_text(work: Work) -> str:
    if work.role == "references":
        return "the references: what healthy looks like"
    if work.many:
        return ROLES.get(work.role, "") + "; ".join(map(settings_text, work.many))
    return ROLES.get(work.role, "") + settings_text(work.parameters)


def images_text(work: Work) -> str:
    """`12 of 32, step 14 of 20   ghost 2  ok 10`, in markup."""
    step = f", step {work.step} of {work.steps}" if work.steps else ""
    counts = verdicts_text(work.verdicts)
    return f"{work.drawn} of {work.cases}{step}" + (f"   {counts}" if counts else "")


def speed_text(night: Night) -> str:
    per_minute, left = night.pace.per_minute(), night.pace.seconds_for(night.cases_left)
    said = [] if left is None else [f"about {duration(left)} left"]
    said += [] if per_minute is None else [f"{per_minute:.3g} images a minute"]
    return ", ".join([*said, f"{duration(night.pace.seconds)} so far"])


def best_text(best: Best) -> str:
    sound = f"{round(best.survived * best.images)} of {best.images} sound"
    return f"{settings_text(best.parameters)}: {sound}, defect {best.defect:.2f}"
