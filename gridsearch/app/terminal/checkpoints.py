"""The output of `gridsearch inspect`."""

from collections.abc import Mapping, Sequence

from gridsearch.app.terminal.tables import show_rows
from gridsearch.app.terminal.text import escape, out


def show_checkpoint(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print all facts of a file. Lines are not folded, so that a hash can be copied whole."""
    out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    labels = [label for label, _ in rows]
    inner = {label for label in labels if label.startswith(" ")}  # a column of their own
    for label, value in rows:
        width = max(len(other) for other in labels if (other in inner) == (label in inner))
        words = value.replace("\n", "\n" + " " * (width + 4))
        out.print(f"  [dim]{escape(label.ljust(width))}[/]  {escape(words)}", soft_wrap=True)
    out.print()


def show_side_by_side(found: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
    """Print a row for each file with what tells them apart: whether they fit, and what they predict."""
    names = [title.replace("\\", "/").rpartition("/")[2] for title, _ in found]
    rows = [(name, *_facts(dict(said))) for name, (_, said) in zip(names, found, strict=True)]
    show_rows("side by side", ("file", "is", "predicts", "dtype", "size", "hash"), rows)


def _facts(said: Mapping[str, str]) -> tuple[str, ...]:
    return (
        said.get("architecture") or said.get("pipeline", ""),
        said.get("prediction type", "").partition(" ")[0],
        said.get("dtypes", "").partition(" ")[0],  # the first is that of most weights
        said.get("size", "").partition(",")[0],
        said.get("A1111 hash", ""),
    )
