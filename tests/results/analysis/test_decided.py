"""The figure that put a trial before the others is named."""

from pathlib import Path

import pytest

from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.decided import decided_by
from tests.helpers.made_up import results_of, table

RATIOS = (0.2, 0.5, 0.8)
FLAT, NEARER, FAR = [0.0] * 4, [6.0] * 4, [9.0] * 4


@pytest.mark.parametrize(
    ("verdicts", "defects", "by"),
    [
        (("oobb", "oooo", "ooob"), [FLAT, FLAT, FLAT], ("survival", "more than 75%")),
        (("oooo", "oooo", "bbbb"), [[3.0] * 4, FLAT, FLAT], ("defect", "another trial has")),
        (("uuuu", "uuuu", "uuuu"), [FAR, NEARER, FAR], ("defect", "2 other trials have")),
        (("oooo", "oooo", "oooo"), [FLAT, FLAT, FLAT], ("its place", "in the middle")),
    ],
)
def test_what_decided_is_said(verdicts, defects, by):
    made = table(dict(zip(RATIOS, verdicts, strict=True)), dict(zip(RATIOS, defects, strict=True)))
    results = results_of(Path("nowhere"), made, ("ratio",))
    answer = analyse(results)
    decided = decided_by(results, answer)
    assert decided is not None
    assert decided[0] == by[0]
    assert by[1] in decided[1]


def test_with_one_trial_nothing_decided():
    results = results_of(Path("nowhere"), table({0.5: "oooo"}), ("ratio",))
    assert decided_by(results, analyse(results)) is None
