"""Writing tables as CSV that is safe in spreadsheets: prompts and names in it are text from outside."""

import unicodedata

import pandas as pd

from gridsearch.base.files import write_atomic
from gridsearch.results.results import Results, with_held_out, with_roles

FORMULA = "=+-@|＝＋－＠｜﹦﹢﹣﹫"  # begin a formula; some programs read the wide ones as the same


def to_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV without any text that a spreadsheet would take for a formula."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(_quoted) for name in texts})
    return safe.rename(columns=_quoted).to_csv(index=False)


def _quoted(text: object) -> object:
    if not isinstance(text, str):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # a lone return would begin a row outside quotes
    seen = next((letter for letter in text if not _is_blank(letter)), " ")  # blanks are dropped by some
    return f"'{text}" if seen in FORMULA else text


def _is_blank(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")


def write_tables(results: Results) -> None:
    """Write trials.csv and images.csv into the results folder."""
    write_atomic(results.folder / "trials.csv", to_csv(with_held_out(results)))
    write_atomic(results.folder / "images.csv", to_csv(with_roles(results)))
