"""The optimum and its doubt: known answers, and what a search leaves: gaps, cliffs, stopped trials."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from gridsearch.results.analysis.optimum import (
    chances,
    interval,
    lowest,
    narrowing,
    optimum,
    prompts_for,
    surroundings,
)

DENSE = np.round(np.arange(0.3, 0.71, 0.02), 10)
SEARCHED = np.array(
    [0, 0.1, 0.2, 0.3, 0.33, 0.35, 0.36, 0.38, 0.4, 0.42, 0.45, 0.5, 0.52, 0.53, 0.54, 0.6, 0.8, 1]
)


def bowls(ratios, owns):
    """One parabola a prompt, least at its own ratio: (sums, counts)."""
    return 2 * (ratios - np.asarray(owns)[:, None]) ** 2, np.ones((len(owns), len(ratios)))


def cliffs(ratios, low=0.345, high=0.525):
    """Sound between, least a third of the way; every image beyond has failed."""
    best = low + (high - low) / 3
    sound = (low < ratios) & (ratios < high)
    loss = np.where(sound, 3 * np.abs(ratios - best), np.where(ratios <= low, 1.9, 1.85))
    return np.tile(loss, (8, 1)), np.ones((8, len(ratios))), best


def test_the_optimum_of_parabolas_is_the_mean_of_theirs():
    owns = np.random.default_rng(0).normal(0.5, 0.04, 16)
    centre, _ = optimum(DENSE, *bowls(DENSE, owns), 10, 0)
    assert centre == pytest.approx(owns.mean(), abs=0.004)


@settings(max_examples=5, deadline=None)
@given(prompts=st.sampled_from([6, 8, 16, 32]), seed=st.integers(0, 20))
def test_the_draws_spread_as_students_t_of_the_mean(prompts, seed):
    owns = np.random.default_rng(seed).normal(0.5, 0.03, prompts)
    _, draws = optimum(DENSE, *bowls(DENSE, owns), 8_000, seed)
    # quartiles, since the t of few prompts has no steady variance: s / √n x its upper quartile
    quartile = {6: 0.7267, 8: 0.7111, 16: 0.6912, 32: 0.6826}[prompts] * owns.std(ddof=1) / np.sqrt(prompts)
    spread = np.subtract(*np.quantile(draws, [0.75, 0.25])) / 2
    assert spread == pytest.approx(quartile, rel=0.12)


def test_cliffs_do_not_push_the_optimum():
    sums, counts, best = cliffs(SEARCHED)
    centre, _ = optimum(SEARCHED, sums, counts, 10, 0)
    assert centre == pytest.approx(best, abs=0.02)


def test_what_is_far_from_the_window_changes_nothing():
    sums, counts, _ = cliffs(SEARCHED)
    near = slice(3, 15)
    assert optimum(SEARCHED, sums, counts, 200, 0)[0] == optimum(
        SEARCHED[near], sums[:, near], counts[:, near], 200, 0
    )[0]  # fmt: skip


def test_two_windows_are_both_looked_at():
    mean = np.array([1.9, 0.3, 1.9, 1.9, 0.2, 1.9, 1.9])
    assert surroundings(mean) == slice(0, 6)
    assert surroundings(np.array([0.5, 0.4, 0.3])) == slice(0, 3)


def test_a_stopped_trials_missing_prompts_are_like_those_it_has():
    sums, counts, _ = cliffs(SEARCHED)
    whole, _ = optimum(SEARCHED, sums, counts, 500, 0)
    stopped = sums.mean(axis=0) > 1
    sums[6:, stopped], counts[6:, stopped] = 0, 0
    sums[1:, 0], counts[1:, 0] = 0, 0  # a single image
    centre, draws = optimum(SEARCHED, sums, counts, 500, 0)
    assert centre == pytest.approx(whole, abs=0.005)
    assert len(draws) == 500
    assert np.isfinite(draws).all()


def test_one_prompt_has_a_guess_and_no_doubt():
    sums, counts = bowls(DENSE, [0.5])
    centre, draws = optimum(DENSE, sums, counts, 100, 0)
    assert centre == pytest.approx(0.5, abs=0.005)
    assert len(draws) == 0
    assert interval(DENSE, centre, draws, 0.95) == (0.3, 0.7)


def test_the_chance_of_a_ratio_is_the_share_of_the_nearest_draws():
    ratios = np.array([0.0, 0.4, 0.5, 1.0])
    draws = np.array([0.1, 0.3, 0.41, 0.44, 0.46, 0.5, 0.7, 0.9])
    assert [(one.ratio, one.chance) for one in chances(ratios, draws)] == [
        (0.0, 1 / 8),
        (0.4, 3 / 8),
        (0.5, 3 / 8),
        (1.0, 1 / 8),
    ]
    assert chances(ratios, np.empty(0)) == ()


def test_the_interval_narrows_with_the_root_of_the_prompts():
    owns = np.random.default_rng(2).normal(0.5, 0.03, 32)
    found = narrowing(DENSE, *bowls(DENSE, owns), 4000, 0, 0.95)
    assert [prompts for prompts, _ in found] == [2, 4, 8, 16, 32]
    widths = dict(found)
    for few in (4, 8, 16):  # as Student's t, s / √n times its quantile, has it: few do not know their spread
        law = t.ppf(0.975, few - 1) / t.ppf(0.975, 31) * np.sqrt(32 / few)
        assert widths[few] / widths[32] == pytest.approx(law, rel=0.1)
    centre, draws = optimum(DENSE, *bowls(DENSE, owns), 4000, 0)
    low, high = interval(DENSE, centre, draws, 0.95)
    assert widths[32] == pytest.approx(high - low)  # what is said of all prompts is the interval itself


def test_how_many_prompts_a_width_needs():
    def width(prompts):
        return 0.1 * t.ppf(0.975, prompts - 1) / np.sqrt(prompts)

    for have in (4, 8, 32):
        assert prompts_for(width(64), width(have), have, 0.95) == 64
        assert prompts_for(width(64) - 1e-6, width(have), have, 0.95) == 65
        assert prompts_for(width(have), width(have), have, 0.95) == have
    normal = 1.959964**2 * (0.1 / 1e-4) ** 2  # of very many, t is normal
    assert prompts_for(1e-4, width(8), 8, 0.95) == pytest.approx(normal, rel=1e-5)


def test_what_few_prompts_expect_of_more_is_what_more_give():
    rng = np.random.default_rng(0)

    def width(owns):
        centre, draws = optimum(DENSE, *bowls(DENSE, owns), 400, 0)
        return np.subtract(*interval(DENSE, centre, draws, 0.95)[::-1])

    def studies(prompts):
        return [width(rng.normal(0.5, 0.04, prompts)) for _ in range(40)]

    wanted = np.mean(studies(32))
    needed = np.median([prompts_for(wanted, few, 8, 0.95) for few in studies(8)])
    assert 24 <= needed <= 36  # s² of 8 is less than its mean in the median, by 9%


def test_the_floor_of_one_curve_is_its_middle_whatever_the_others():
    points = np.linspace(0, 1, 101)
    curves = np.array([np.maximum(np.abs(points - 0.3), 0.1), points])
    assert lowest(points, curves) == pytest.approx([0.3, 0.01], abs=0.011)
