"""The figure that put a trial before the others is named, and who else might be as good."""

from pathlib import Path

import pandas as pd
import pytest

from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.decided import decided_by
from gridsearch.results.analysis.ranking import prompts_to_tell, undecided
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


def test_who_may_be_as_good_by_the_prompts_differences_and_how_many_would_tell():
    losses = {0: [0, 0, 0, 0], 1: [0.1, 0.2, 0.3, 0.4], 2: [-0.2, 0.3, 0.0, 0.1]}
    rows = [
        {"trial": trial, "prompt_id": f"p{i}", "seed": 1, "loss": loss}
        for trial, own in losses.items()
        for i, loss in enumerate(own)
    ]
    images = pd.DataFrame(rows)
    # of trial 1 the mean is 0.25 and its error 0.129 / 2, so t = 3.87 with 3 degrees of freedom: p = 0.015
    assert undecided(0, images, [1], 0.95) == ()
    assert undecided(0, images, [1, 2], 0.95) == (2,)  # at 0.025 each
    assert undecided(0, images, [1, 2], 0.98) == (1, 2)  # at 0.01 each
    assert undecided(0, images[images["prompt_id"] == "p0"], [1, 2], 0.95) == (1, 2)
    # (1.645 + 0.842) ** 2 * (0.208 / 0.05) ** 2 = 107.2
    assert prompts_to_tell(0, images, [2], 0.95) == 108
    assert prompts_to_tell(0, images[images["prompt_id"] == "p0"], [2], 0.95) is None
