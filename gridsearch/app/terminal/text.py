"""Text on the terminal: lines for people, JSON for programs, and what comes from outside made harmless."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape as without_markup

from gridsearch.base.errors import GridsearchError
from gridsearch.base.words import parameter_labels

# Control characters but tab and line end; what turns the reading direction; lone surrogates, which cannot be
# written.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Named colours, which every terminal has, dark or light. The verdict's word always stands beside its colour.
VERDICT_STYLES = {"ok": "green", "ghost": "cyan", "blank": "blue", "burnt": "red", "noise": "magenta"}

MOST_SETTINGS = 3  # in a line of a terminal

out = Console(highlight=False, emoji=False)  # <lora:fire:1> stays as it is
err = Console(stderr=True, highlight=False, emoji=False)


def escape(text: str) -> str:
    """Return text from outside so that it can neither mark itself up nor control the terminal."""
    return without_markup(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def moves() -> bool:
    """Tell whether the output can be overwritten. With FORCE_COLOR, Rich takes a file for a terminal."""
    return out.is_terminal and not out.is_dumb_terminal and sys.stdout.isatty()


def say(text: str) -> None:
    """Print a line for people."""
    out.print(escape(text), soft_wrap=True)


def show_note(text: str) -> None:
    """Print a line that the user should know of, and that stops nothing."""
    out.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)


def show_error(error: GridsearchError) -> None:
    """Print the error, one to four lines, to stderr."""
    err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)


def show_json(document: Mapping[str, Any], indent: int | None = 2) -> None:
    """Print a document for a program, in ASCII, which every encoding and every terminal can take.

    Raises:
        ValueError: a number in it is NaN or infinite, which JSON cannot express.
    """
    sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
    sys.stdout.flush()  # a program reads a run's lines as they come


def settings_text(parameters: Mapping[str, Any], most: int | None = None) -> str:
    """Return `ratio 0.35, cfg 4`; `20 values` where there are more than `most`."""
    if most is not None and len(parameters) > most:
        return f"{len(parameters)} values"
    labels = parameter_labels(parameters)
    return ", ".join(
        f"{labels[name]} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in parameters.items()
    )


def verdicts_text(counts: Mapping[str, int]) -> str:
    """Return `ghost 3  ok 29`, in markup."""
    styled = ((VERDICT_STYLES.get(verdict, "yellow"), verdict, n) for verdict, n in sorted(counts.items()))
    return "  ".join(f"[{style}]{escape(verdict)} {n}[/]" for style, verdict, n in styled)
