"""Tables as CSV that a spreadsheet may open: prompts, file names and columns' names are text from outside."""

import unicodedata

import pandas as pd

from gridsearch.base.files import write_atomic
from gridsearch.results.results import Results
from gridsearch.results.tables import with_held_out, with_roles

FORMULA = "=+-@|"  # how a cell begins that a spreadsheet would run
WIDE = str.maketrans("＝＋－＠｜﹦﹢﹣﹫", "=+-@|=+-@")  # which some take for the same


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV, with no text in it that a spreadsheet would take for a formula."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(_quoted) for name in texts})
    return safe.rename(columns=_quoted).to_csv(index=False)


def _quoted(text: object) -> object:
    if not isinstance(text, str):
        return text
    text = text.replace("\r\n", "\n").replace(
        "\r", "\n"
    )  # a lone return would begin a row outside of any quotes
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    """By its first letter that is seen: spaces and control characters before it some programs drop."""
    seen = next((letter for letter in text if not _is_blank(letter)), " ")
    return seen.translate(WIDE) in FORMULA


def _is_blank(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")


def write_tables(results: Results) -> None:
    """Write trials.csv and images.csv into the results folder."""
    write_atomic(results.folder / "trials.csv", to_csv(with_held_out(results)))
    write_atomic(results.folder / "images.csv", to_csv(with_roles(results)))
