"""Shares of variance against what they are by arithmetic."""

import numpy as np
import pandas as pd
import pytest

from gridsearch.results.analysis.trials import by_chance, importances


def trials(loss, count: int, seed: int = 0, values: int = 4) -> pd.DataFrame:
    numbers = np.random.default_rng(seed).random((count, values))
    table = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(values)])
    return table.assign(loss=loss(table))


def test_a_sum_of_two_shares_its_variance_as_their_squares():
    # 3 a + 4 b of independent uniforms: 9 / 25 and 16 / 25
    found = dict(importances(trials(lambda t: 3 * t.x0 + 4 * t.x1, 4000), ("x0", "x1", "x2", "x3")))
    assert found["x0"] == pytest.approx(9 / 25, abs=0.03)
    assert found["x1"] == pytest.approx(16 / 25, abs=0.03)
    assert max(found["x2"], found["x3"]) < 0.01


def test_a_valley_counts_and_what_works_only_together_does_not():
    valley = dict(importances(trials(lambda t: (t.x0 - 0.5) ** 2, 2000), ("x0", "x1")))
    assert valley["x0"] > 0.9
    both = dict(importances(trials(lambda t: (t.x0 - 0.5) * (t.x1 - 0.5), 4000), ("x0", "x1")))
    assert max(both.values()) < 0.02


def test_words_count_by_their_groups():
    table = trials(lambda t: t.x0, 60).assign(mode=["epsilon", "v_prediction"] * 30)
    table["loss"] = table["mode"].eq("epsilon").astype(float)
    assert importances(table, ("mode", "x1"))[0] == ("mode", pytest.approx(1.0))


def test_pure_noise_stays_below_what_chance_gives():
    found = [
        share
        for seed in range(50)
        for _, share in importances(trials(lambda t: t.x3, 80, seed), ("x0", "x1", "x2"))
    ]
    assert np.mean(np.array(found) > by_chance(80)) < 0.08
    assert np.median(found) < by_chance(80) / 4


def test_too_little_to_say():
    assert importances(trials(lambda t: t.x0, 11), ("x0", "x1")) == ()
    assert importances(trials(lambda t: t.x0, 50).assign(x1=0.5), ("x0", "x1")) == ()
    assert importances(trials(lambda t: 0 * t.x0, 50), ("x0", "x1")) == ()


def test_shares_of_values_that_go_together_are_no_more_than_the_whole():
    table = trials(lambda t: t.x0, 200).assign(x1=lambda t: t.x0, x2=lambda t: t.x0)
    found = dict(importances(table, ("x0", "x1", "x2")))
    assert sum(found.values()) == pytest.approx(1.0)
    assert list(found.values()) == pytest.approx([1 / 3] * 3)
