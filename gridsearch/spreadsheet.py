"""Tables as CSV that a spreadsheet may open: prompts and file names are text from outside."""

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV, with no text in it that a spreadsheet would take for a formula."""
    texts = table.select_dtypes(exclude="number").columns
    return table.assign(**{name: table[name].map(_quoted) for name in texts}).to_csv(index=False)


def _quoted(text: object) -> object:
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text
