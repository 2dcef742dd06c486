"""Text broken into lines that fit."""

import pytest

from gridsearch.report.sheet import sheet as lettering
from gridsearch.report.sheet.sheet import font, wrap


def test_lines_fit_and_nothing_is_lost():
    text = "a red cat on a " + "windowsill" * 9 + " by\nnight"
    lines = wrap(text, 200, 17, lines=20)
    assert all(font(17).getlength(line) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("\n", "")
    assert lines[0] == "a red cat on a"
    assert wrap("", 200, 17, lines=2) == [""]


def test_a_letter_is_the_least_that_a_line_holds():
    assert wrap("wide", 1, 17, lines=9) == list("wide")


@pytest.mark.parametrize("word", ["x", "x ", "xxxx,"])
def test_no_more_is_measured_of_a_long_text_than_is_kept(word, monkeypatch):
    measured = []

    class Counting:
        def getlength(self, text):
            measured.append(len(text))
            return font(17).getlength(text)

    expected = wrap(word * 200, 300, 17, lines=3)
    monkeypatch.setattr(lettering, "font", lambda size: Counting())
    assert wrap(word * 100_000, 300, 17, lines=3) == expected
    assert len(expected) == 3
    assert expected[-1].endswith("…")
    assert len(measured) < 1000
    assert sum(measured) < 100_000


def test_no_sign_of_an_answer_is_drawn_as_a_box():
    said = "survives from 0.20–0.35 × 2 to 0.60–0.75, worse by ≤ 0.05"
    missing = bytes(font(40).getmask("\uffff"))
    drawn = "".join(wrap(said, 10_000, 40, lines=1))
    assert missing in {bytes(font(40).getmask(letter)) for letter in said}
    assert missing not in {bytes(font(40).getmask(letter)) for letter in drawn}
