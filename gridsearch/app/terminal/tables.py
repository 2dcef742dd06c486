"""Tables on the terminal: of short texts, of scores, of any pandas table."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.measure import Measurement
from rich.table import Table

from gridsearch.app.terminal.text import escape, out
from gridsearch.score.metrics import GOALS


def show_rows(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of short texts; where the terminal is too narrow, a block for each row."""
    table = Table(
        title=escape(title),
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    unlimited = out.options.update(width=10_000)  # wide enough for any table
    if Measurement.get(out, unlimited, table).maximum <= out.width:
        out.print(table)
    else:
        width = max(map(len, headings))
        out.print(f"[italic]{escape(title)}[/]")
        for first, *others in rows:
            out.print(f"  [bold]{escape(first)}[/]", soft_wrap=True)
            for heading, text in zip(headings[1:], others, strict=True):
                out.print(f"    [dim]{heading.ljust(width)}[/]  {escape(text)}", soft_wrap=True)
    out.print()


def show_scores(table: Any) -> None:
    """Print a table of whole images, and one of each grid's cells. Few columns leave room for the reasons."""
    shown = ["verdict", "defect", *GOALS, "reason"]
    is_cell = table["column"].notna()
    if not is_cell.all():
        show_table(table.loc[~is_cell, ["image", *shown]])
    for image, cells in table[is_cell].groupby("image", sort=False):
        show_table(cells[["row", "column", *shown]], title=image)


def show_table(table: Any, title: str | None = None) -> None:
    """Print a pandas table; numbers have three digits, and a missing value is left empty."""
    from pandas import isna
    from pandas.api.types import is_numeric_dtype

    shown = Table(title=title and escape(title), box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.columns:
        is_text = not is_numeric_dtype(table[name])
        shown.add_column(
            escape(str(name)), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text
        )
    for row in table.itertuples(index=False):
        texts = (f"{value:.3g}" if isinstance(value, float) else escape(str(value)) for value in row)
        shown.add_row(*("" if isna(value) else text for value, text in zip(row, texts, strict=True)))
    out.print(shown)
