"""Tables of scores."""

from typing import Any

from rich import box
from rich.table import Table

from gridsearch.cli.terminal.text import escape, out


def show_scores(table: Any) -> None:
    """A table of all whole images, and one of each grid's cells. Few columns, to leave the reasons room."""
    shown = ["verdict", "defect", "blur", "noise", "reason"]
    is_cell = table["column"].notna()
    if not is_cell.all():
        show_table(table.loc[~is_cell, ["image", *shown]])
    for image, cells in table[is_cell].groupby("image", sort=False):
        show_table(cells[["row", "column", *shown]], title=image)


def show_table(table: Any, title: str | None = None) -> None:
    """A pandas table; numbers with three digits, nothing where there is no value."""
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
