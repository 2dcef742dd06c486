"""No text from outside becomes a formula; numbers stay numbers."""

import csv
import io

import pandas as pd
import pytest

from gridsearch.report.csv import to_csv


def test_formulas_are_quoted_and_nothing_else_is_changed():
    table = pd.DataFrame({"prompt": ["=1+1", "@x", "a cat", None], "dial": [-1.5, 2.0, 0.0, None]})
    assert to_csv(table) == "prompt,dial\n'=1+1,-1.5\n'@x,2.0\na cat,0.0\n,\n"


@pytest.mark.parametrize(
    "text",
    [" =1+1", "\t@x", "\n-1+1", "\u200b=1", "\ufeff+1", "＝1+1", "＠x", "-2+cmd|' /C calc'!A0", "|x"],
)
def test_a_formula_in_disguise_is_one(text):
    (row,) = csv.DictReader(io.StringIO(to_csv(pd.DataFrame({"prompt": [text]})), newline=""))
    assert row["prompt"] == f"'{text}"


def test_a_lone_return_begins_no_row():
    (row,) = csv.DictReader(io.StringIO(to_csv(pd.DataFrame({"prompt": ["a\r=1+1"]})), newline=""))
    assert row["prompt"] == "a\n=1+1"


def test_a_columns_name_is_no_formula_and_numbers_among_texts_stay():
    table = pd.DataFrame({"=cmd": [-1, "-1", None], "(-1)": ["a-b", "1-2", True]})
    assert to_csv(table) == "'=cmd,(-1)\n-1,a-b\n'-1,1-2\n,True\n"
