"""The last screen of a run."""

import shlex
from typing import Any

from gridsearch.cli.terminal.text import escape, out, say


def show_answer(results: Any, answer: Any) -> None:
    """The answer, how sure it is, and where to look next."""
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


def show_sentence(results: Any, answer: Any) -> None:
    """The answer alone, and what makes it doubtful."""
    from gridsearch.report.last_screen import ALARM, last_lines

    say(answer.sentence)
    for line in last_lines(results, answer):
        if line.startswith(f"  {ALARM}"):
            say(line)
