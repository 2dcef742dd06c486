"""What more prompts would change, and what the prompts alone would say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridsearch.app.terminal.answer import last_lines
from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import RatioInterval
from gridsearch.results.analysis.posterior import Losses, Posterior
from gridsearch.results.analysis.window import disagreement
from tests.helpers.made_up import bowl, results_of, table

NOWHERE = Path("nowhere")


@pytest.mark.parametrize(
    ("wanted", "needed", "said"),
    [
        (0.5, 4, "as narrow as asked"),
        (0.15, 64, "about 60 more prompts would narrow the interval from 0.3 to 0.15"),
        (None, 64, "about 60 more prompts"),
        (0.15, 5, "about 1 more prompt would"),
        (0.05, None, "no number of prompts narrows it to 0.05: the values tried are 0.1 apart"),
    ],
)
def test_how_many_prompts_a_wanted_width_needs(monkeypatch, wanted, needed, said):
    monkeypatch.setattr(optimum, "narrowing", lambda *_: [(1, 0.6), (4, 0.3)])
    monkeypatch.setattr(optimum, "prompts_for", lambda *_: needed or 64)
    images = bowl(0)[lambda t: (t["ratio"] * 10).round(6) % 1 == 0].assign(loss=lambda t: t["defect"])
    images = images.assign(at=images["ratio"])
    trials = images.groupby("at")["trial"].first().reset_index().assign(survived=1.0)
    how = optimum.Sureness(0.95, 100, 0)
    curve = optimum.curve_of(trials, images, 0.5, how)
    doubt = optimum.doubt(curve, 0.6, how)
    doubt = replace(doubt, smoothed=0.58, interval=RatioInterval(0.4, 0.7, 0.95, 4, 100))
    found = optimum.with_narrowing(doubt, curve, wanted, how)
    assert found.prompts_needed == needed
    results = results_of(NOWHERE, bowl(0, prompts=4), ("ratio",))
    answer = analyse(results, resamples=50)
    answer = replace(answer, slices=(replace(answer.best, doubt=found),))
    (more,) = [line for line in last_lines(results, answer) if line.startswith("  more")]
    assert said in more


def test_chances_are_of_rendered_ratios_to_be_as_good_as_any():
    answer = analyse(results_of(NOWHERE, bowl(0), ("ratio",)), resamples=200)
    chances = {one.ratio: one.chance for one in answer.best.doubt.chances}
    assert list(chances) == sorted(bowl(0)["ratio"].unique())
    assert chances[answer.best.ratio] > 0.9
    assert chances[0.0] == chances[1.0] == 0.0


def test_a_chance_is_the_share_of_draws_in_which_nothing_is_better_by_more_than_the_margin():
    """In four draws the first ratio is the best, 0.04 above it, 0.06 and 0.3; the third one is far off."""
    draws = np.array([[0.1, 0.3, 0.9], [0.24, 0.2, 0.9], [0.26, 0.2, 0.9], [0.5, 0.2, 0.9]])
    ratios, nothing, run = np.array([0.2, 0.4, 0.6]), np.zeros((1, 3)), np.zeros(3, int)
    found = Posterior(ratios, draws.mean(axis=0), draws, run, [(0.2, 0.6)], ratios, run, nothing, nothing)
    drawn = Losses(np.array([0.0, 0.2, 0.4, 0.6]), np.zeros((2, 4)), np.ones((2, 4)))
    can_win = np.array([False, True, True, True])
    curve = optimum.Curve(pd.DataFrame({"at": ratios}), found, drawn, can_win, can_win, (0.0, 0.6))
    chances = optimum.chances(curve)
    assert [(one.ratio, one.chance) for one in chances] == [(0.0, 0.0), (0.2, 0.5), (0.4, 0.75), (0.6, 0.0)]


def test_each_prompts_own_answer_and_the_odd_one_out():
    along = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    alone = {"p1": "bboooubb", "p2": "bboooubb", "p3": "bbooouuu", "p4": "bbbbbboo", "p5": "boooouuu"}
    rows = [
        table({ratio: letter}, prompts=(prompt,)).assign(trial=i)
        for prompt, letters in alone.items()
        for i, (ratio, letter) in enumerate(zip(along, letters, strict=True))
    ]
    answer = analyse(results_of(NOWHERE, pd.concat(rows), ("ratio",)), resamples=50)
    found = {view.prompt: view for view in answer.best.disagreement.prompts}
    assert (found["p1"].low, found["p1"].best, found["p1"].high) == (0.4, 0.5, 0.6)
    assert (found["p4"].low, found["p4"].high, found["p4"].survives) == (0.8, 0.9, False)
    assert [view.prompt for view in answer.best.disagreement.prompts if view.stands_out] == ["p4"]
    assert answer.best.disagreement.high == found["p4"].best
    lines = last_lines(results_of(NOWHERE, pd.concat(rows), ("ratio",)), answer)
    (line,) = [line for line in lines if "alone" in line]
    assert line.endswith("p4 does not survive there")


def test_one_prompt_has_nothing_to_disagree_with():
    one = table({0.2: "b", 0.5: "o", 0.8: "u"}, prompts=("p1",))
    assert analyse(results_of(NOWHERE, one, ("ratio",))).best.disagreement is None


def test_no_prompt_alone_would_take_a_ratio_at_which_it_is_burnt():
    """Of four ratios the last has one neighbour, the best one, and so the least mean with its neighbours."""
    verdicts, losses = ["blank", "blank", "ok", "burnt"], [10.0, 6.0, 0.3, 2.0]
    rows = [
        {"prompt_id": prompt, "at": at, "verdict": verdict, "loss": loss}
        for prompt in ("p1", "p2")
        for at, verdict, loss in zip((0.0, 0.33, 0.67, 1.0), verdicts, losses, strict=True)
    ]
    found = disagreement(pd.DataFrame(rows), 0.67)
    assert found is not None
    assert (found.low, found.high) == (0.67, 0.67)
