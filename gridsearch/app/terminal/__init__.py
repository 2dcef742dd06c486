"""The output on a terminal: lines and errors, progress, the live view of a run, tables, the answer."""
# ruff: noqa: F401  these are the names that the commands use

from gridsearch.app.terminal.answer import show_answer, show_headline, show_next, show_sentence
from gridsearch.app.terminal.listeners import ProgressBar, RunScreen, SilentListener, TrialLines
from gridsearch.app.terminal.pool import show_explained, show_pool
from gridsearch.app.terminal.sensitivity import show_sensitivity
from gridsearch.app.terminal.tables import (
    show_checkpoint,
    show_forecast,
    show_models,
    show_plan,
    show_scores,
    show_side_by_side,
)
from gridsearch.app.terminal.text import out, say, show_error, show_json, show_note
