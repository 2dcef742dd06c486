"""The output on a terminal: lines and errors, progress, the live view of a run, tables, the answer."""

from gridsearch.app.terminal.answer import show_answer, show_sentence
from gridsearch.app.terminal.bars import ProgressBar
from gridsearch.app.terminal.checkpoints import show_checkpoint, show_side_by_side
from gridsearch.app.terminal.plan import show_plan
from gridsearch.app.terminal.screen import RunScreen, TrialLines
from gridsearch.app.terminal.silent_listener import SilentListener
from gridsearch.app.terminal.tables import show_scores, show_table
from gridsearch.app.terminal.text import (
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
    "ProgressBar",
    "RunScreen",
    "SilentListener",
    "TrialLines",
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
