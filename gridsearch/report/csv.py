"""Writing tables as CSV that is safe in spreadsheets: prompts and names in it are text from outside."""

import unicodedata

import pandas as pd

from gridsearch.base.files import write_atomic
from gridsearch.results.results import Results, with_held_out, with_roles

FORMULA = "=+-@|"  # characters that begin a formula
WIDE = str.maketrans("＝＋－＠｜﹦﹢﹣﹫", "=+-@|=+-@")  # read as the same by some programs


def to_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV without any text that a spreadsheet would take for a formula."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(_quoted) for name in texts})
    return safe.rename(columns=_quoted).to_csv(index=False)


def _quoted(text: object) -> object:
    if not isinstance(text, str):
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # a lone return would begin a row outside quotes
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """Return whether the first visible character begins a formula; some programs drop those before it."""
    seen = next((letter for letter in text if not _is_blank(letter)), " ")
    return seen.translate(WIDE) in FORMULA


def _is_blank(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")


def write_tables(results: Results) -> None:
    """Write trials.csv and images.csv into the results folder."""
    write_atomic(results.folder / "trials.csv", to_csv(with_held_out(results)))
    write_atomic(results.folder / "images.csv", to_csv(with_roles(results)))
