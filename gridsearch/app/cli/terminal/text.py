"""Lines for people, and the one for programs."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape as without_markup

from gridsearch.base.errors import GridsearchError

# all but tab and line end; what turns the reading direction; halves of characters, which cannot be written
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# By names that every terminal has, dark or light; the verdict's word always stands beside its colour.
VERDICT_STYLES = {"ok": "green", "ghost": "cyan", "blank": "blue", "burnt": "red", "noise": "magenta"}

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def escape(text: str) -> str:
    """Text from outside, which can neither mark itself up nor command the terminal."""
    return without_markup(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))


def moves() -> bool:
    """Whether what is shown may be drawn over. FORCE_COLOR makes Rich take a file for a terminal."""
    return out.is_terminal and not out.is_dumb_terminal and sys.stdout.isatty()


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


def show_json(document: Mapping[str, Any], indent: int | None = 2) -> None:
    """A document for a program, in letters that every encoding and every terminal bears.

    Raises:
        ValueError: a number in it is NaN or infinite, which JSON has no word for.
    """
    sys.stdout.write(json.dumps(document, indent=indent, allow_nan=False) + "\n")
    sys.stdout.flush()  # a program reads a run's lines as they come


def settings_text(parameters: Mapping[str, Any]) -> str:
    """`ratio 0.35, cfg 4`."""
    return ", ".join(
        f"{name.removeprefix('render.')} {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in parameters.items()
    )


def verdicts_text(counts: Mapping[str, int]) -> str:
    """`ghost 3  ok 29`, in markup."""
    styled = ((VERDICT_STYLES.get(verdict, "yellow"), verdict, n) for verdict, n in sorted(counts.items()))
    return "  ".join(f"[{style}]{escape(verdict)} {n}[/]" for style, verdict, n in styled)
