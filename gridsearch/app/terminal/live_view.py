"""The live view of a run in progress: a few lines at the foot of the terminal."""

from rich.console import RenderableType
from rich.progress_bar import ProgressBar as Bar
from rich.table import Table
from rich.text import Text

from gridsearch.app.terminal.run_progress import BestTrial, CurrentWork, RunProgress
from gridsearch.app.terminal.text import escape, settings_text, verdicts_text
from gridsearch.base.words import duration

BAR_WIDTH = 60  # columns, at most
ROLES = {
    "held_out": "checking on held-out prompts: ",
    "repeat": "checking by rendering again: ",
    "check": "checking: ",
}


def live_view(run: RunProgress) -> RenderableType:
    """Return the view, a line for each fact. A line too long for the terminal is cut, never folded."""
    total = run.done + run.left
    of = f"{min(run.done + 1, total)} of {'about ' if run.about else ''}{total}"
    rendered = run.done * run.cases + (run.work.rendered if run.work.role == "trial" else 0)
    bar = Bar(max(total * run.cases, 1), rendered, width=BAR_WIDTH, complete_style="cyan")
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_row("", "")
    grid.add_row("", bar)
    for label, text in (
        ("trial", of),
        ("now", escape(now_text(run.work))),
        ("images", images_text(run.work)),
        ("time", speed_text(run)),
        ("best", run.best and escape(best_text(run.best))),
        ("best in", run.best and run.best.interval and escape(run.best.interval)),
    ):
        if text:
            grid.add_row(label, Text.from_markup(text))
    return grid


def now_text(work: CurrentWork) -> str:
    if work.role == "references":
        return "references: what healthy images look like"
    return ROLES.get(work.role, "") + "; ".join(map(settings_text, work.many or [work.parameters]))


def images_text(work: CurrentWork) -> str:
    """Return `12 of 32, step 14 of 20   ghost 2  ok 10`, in markup."""
    step = f", step {work.step} of {work.steps}" if work.steps else ""
    counts = verdicts_text(work.verdicts)
    return f"{work.rendered} of {work.cases}{step}" + (f"   {counts}" if counts else "")


def speed_text(run: RunProgress) -> str:
    per_minute, left = run.pace.per_minute(), run.pace.seconds_for(run.cases_left)
    parts = [] if left is None else [f"about {duration(left)} left"]
    parts += [] if per_minute is None else [f"{per_minute:.3g} images per minute"]
    return ", ".join([*parts, f"{duration(run.pace.seconds)} so far"])


def best_text(best: BestTrial) -> str:
    sound = f"{round(best.survived * best.images)} of {best.images} healthy"
    return f"{settings_text(best.parameters)}: {sound}, defect {best.defect:.2f}"
