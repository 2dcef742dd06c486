"""No text from outside becomes a formula; numbers stay numbers."""

import pandas as pd

from gridsearch.spreadsheet import to_csv


def test_formulas_are_quoted_and_nothing_else_is_changed():
    table = pd.DataFrame({"prompt": ["=1+1", "@x", "a cat", None], "dial": [-1.5, 2.0, 0.0, None]})
    assert to_csv(table) == "prompt,dial\n'=1+1,-1.5\n'@x,2.0\na cat,0.0\n,\n"
