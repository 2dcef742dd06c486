"""What the command line shows: lines and errors, progress, a night's live view, tables, the answer."""

from gridsearch.app.cli.terminal.answer import show_answer, show_sentence
from gridsearch.app.cli.terminal.bars import Progress
from gridsearch.app.cli.terminal.checkpoints import show_checkpoint, show_side_by_side
from gridsearch.app.cli.terminal.plan import show_plan
from gridsearch.app.cli.terminal.screen import Lines, RunScreen
from gridsearch.app.cli.terminal.tables import show_scores, show_table
from gridsearch.app.cli.terminal.text import (
    err,
    escape,
    out,
    say,
    settings_text,
    show_error,
    show_json,
    show_note,
)

__all__ = [
    "Lines",
    "Progress",
    "RunScreen",
    "err",
    "escape",
    "out",
    "say",
    "settings_text",
    "show_answer",
    "show_checkpoint",
    "show_error",
    "show_json",
    "show_note",
    "show_plan",
    "show_scores",
    "show_sentence",
    "show_side_by_side",
    "show_table",
]
