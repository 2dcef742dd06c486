"""What `inspect` says of files."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from gridsearch.cli.terminal.text import escape, out


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


def show_side_by_side(found: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
    """What tells several files apart, a row for each: whether they fit, and which predicts what."""
    table = Table(title="side by side", box=box.SIMPLE, title_justify="left", padding=(0, 1, 0, 0))
    for heading in ("file", "is", "predicts", "read from", "size", "hash"):
        table.add_column(heading, overflow="fold")
    for title, rows in found:
        table.add_row(*map(escape, (title.replace("\\", "/").rpartition("/")[2], *_facts(dict(rows)))))
    out.print(table)


def _facts(said: Mapping[str, str]) -> tuple[str, ...]:
    kind = said.get("architecture") or said.get("pipeline", "")
    predicts, _, source = said.get("prediction type", "").partition(" (")
    size = said.get("size", "").partition(",")[0]
    return kind, predicts, source.removesuffix(")"), size, said.get("A1111 hash", "")
