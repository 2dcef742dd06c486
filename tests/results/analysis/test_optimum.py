"""The best ratio and its doubt: known answers, worlds of every shape, and what a search leaves."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from benchmarks.search.simulated import run_of
from benchmarks.search.worlds import DRAW, drawn, size_of
from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.optimum import MARGIN, Sureness, prompts_for
from gridsearch.results.analysis.posterior import (
    CORRELATED,
    POOLED,
    Losses,
    error_correlation,
    error_variances,
    paired_means,
    posterior,
    runs_of,
)
from gridsearch.results.analysis.window import find_window, share_interval
from tests.helpers.made_up import table

SURE = Sureness(0.95, 300, 0)
DENSE = np.round(np.arange(0.3, 0.71, 0.02), 10)


def losses(ratios, mean, images=None) -> Losses:
    mean = np.asarray(mean, dtype=float)
    return Losses(np.asarray(ratios, dtype=float), mean, np.ones(mean.shape) if images is None else images)


def everywhere(of: Losses, draws: int = 1000):
    return posterior(of, np.ones(len(of.ratios), dtype=bool), draws, 0)


def bowls(owns) -> Losses:
    """One parabola a prompt, least at its own ratio."""
    return losses(DENSE, 2 * (DENSE - np.asarray(owns)[:, None]) ** 2)


def test_the_best_of_parabolas_is_the_mean_of_theirs():
    owns = np.random.default_rng(0).normal(0.5, 0.04, 16)
    found = everywhere(bowls(owns))
    assert found.ratios[found.mean.argmin()] == pytest.approx(owns.mean(), abs=0.02)
    assert np.median(found.best) == pytest.approx(owns.mean(), abs=0.01)


def test_what_prompts_add_to_all_ratios_is_taken_out_of_a_stopped_trial():
    """Two prompts, the second worse by 1 throughout: a trial that lacks it is no better for that."""
    seen = losses([0.1, 0.2, 0.3], [[0.2, 0.3, 0.2], [1.2, 0.0, 1.2]], np.array([[1, 1, 1], [1, 0, 1.0]]))
    means, rest = paired_means(seen)
    assert means - means[0] == pytest.approx([0, 0.1, 0])
    assert np.isnan(rest[1, 1])
    assert np.nan_to_num(rest) == pytest.approx(np.zeros((2, 3)), abs=1e-9)


def test_where_a_prompt_burns_says_nothing_of_what_it_adds_to_the_good_ratios():
    """Its best ratio was stopped after three prompts, all of which burn early at the far ratios.

    Prompt by prompt it is better by 0.1 than what all six were drawn at; beyond, three lose 1.9, three 0.3.
    """
    early = np.array([1.6, 1.6, 1.6, 0, 0, 0])[:, None]
    mean = np.hstack([np.full((6, 1), 0.3), np.full((6, 1), 0.2), 0.3 + early * np.ones((1, 2))])
    images = np.ones(mean.shape)
    images[3:, 1] = 0
    means, rest = paired_means(losses(np.linspace(0, 1, 4), np.where(images > 0, mean, 0), images))
    assert means[1] - means[0] == pytest.approx(-0.1, abs=0.05)  # of all ratios alike: -0.5
    assert np.nanmax(np.abs(rest[:, :2])) < 0.05  # and there is hardly a scatter between the two


def test_two_windows_are_two_runs_each_with_its_neighbours():
    means = np.array([1.9, 0.3, 1.9, 1.9, 0.2, 0.3, 1.9])
    assert runs_of(means, np.full(7, 16)) == [slice(0, 3), slice(3, 7)]
    assert runs_of(np.array([0.5, 0.4, 0.3]), np.full(3, 16)) == [slice(0, 3)]


def test_where_few_prompts_are_sound_anywhere_what_all_fail_is_out():
    """Above 0.6 of the way from the best to the worst, where that is more than a cliff."""
    assert runs_of(np.array([1.9, 1.9, 1.7, 1.2, 1.5, 1.9, 1.9]), np.full(7, 16)) == [slice(2, 6)]
    assert runs_of(np.array([0.8, 0.8, 0.3, 0.8]), np.full(4, 16)) == [slice(0, 4)]


def test_two_failed_images_do_not_end_a_run_and_six_do():
    means = np.array([1.9, 1.2, 1.9, 1.3, 1.9])
    assert runs_of(means, np.array([16, 16, 2, 16, 16])) == [slice(0, 5)]
    assert runs_of(means, np.array([16, 16, 6, 16, 16])) == [slice(0, 3), slice(2, 5)]


def test_two_windows_differ_by_as_much_as_their_prompts_do_and_no_more():
    """Each window's curve has errors of its own: the difference of its leasts is not spread by these again.

    Of eight prompts whose losses in either window are their own, it is Student's t with seven degrees of
    freedom: the standard error of the differences at the two bests, times the root of 7/5.
    """
    rng = np.random.default_rng(5)
    shape = np.array([1.9, 1.0, 0.2, 0.1, 0.1, 0.2, 1.0, 1.9])
    seen = np.tile(np.concatenate([shape, shape]), (8, 1))
    seen += np.repeat(rng.normal(0, 0.2, (8, 2)), 8, axis=1) + rng.normal(0, 0.1, seen.shape)
    of, can_win = losses(np.linspace(0, 0.75, 16), seen), np.ones(16, dtype=bool)
    found = posterior(of, can_win, 20_000, 0)
    tops = [np.flatnonzero(found.runs == run)[found.mean[found.runs == run].argmin()] for run in (0, 1)]
    error = np.diff(seen[:, tops], axis=1).std(ddof=1) / np.sqrt(8)
    assert difference(found).std() == pytest.approx(error * np.sqrt(7 / 5), rel=0.05)
    more = posterior(of, can_win, 20_000, 0, prompts=32)  # four times as many: half the error, 31 degrees
    assert difference(more).std() == pytest.approx(error / 2 * np.sqrt(31 / 29), rel=0.05)


def difference(found):
    """By how much the second run's least is above the first's, draw by draw."""
    return np.subtract(*(found.draws[:, found.runs == run].min(axis=1) for run in (1, 0)))


def test_what_prompts_lose_in_another_window_leaves_the_curve_within_one_as_sure():
    """Half of the prompts lose 0.3 more in the second window, half 0.3 less: within each as much is known."""
    shape = np.array([1.9, 1.0, 0.2, 0.1, 0.1, 0.2, 1.0, 1.9])
    seen = np.tile(np.concatenate([shape, shape]), (8, 1))
    seen += np.random.default_rng(5).normal(0, 0.1, seen.shape)
    apart = seen + np.where(np.arange(16) < 8, 0, 1) * np.repeat([0.3, -0.3], 4)[:, None]
    for run in (0, 1):
        before, now = (everywhere(losses(np.linspace(0, 0.75, 16), one)) for one in (seen, apart))
        own = before.runs == run
        spread = [
            np.std(one.draws[:, own] - one.draws[:, own].min(axis=1, keepdims=True), axis=0)
            for one in (before, now)
        ]
        assert spread[1] == pytest.approx(spread[0], abs=1e-6)


def test_the_variance_about_a_ratio_counts_as_much_as_four_of_its_own_degrees():
    """Five prompts: four degrees each. Of two ratios a run apart, exp(-10) of the other's variance counts."""
    rest = np.array([[1, -1, 1, -1, 0.0], [2, -2, 2, -2, 0]]).T
    near = np.exp(-10)
    about = np.array([1 + 4 * near, 4 + near]) / (1 + near)
    assert error_variances(rest, np.array([0.2, 0.4])) == pytest.approx((np.array([1, 4]) + about) / 2)


def test_an_optimum_lies_at_an_end():
    rng = np.random.default_rng(1)
    slope = np.linspace(0, 1, 21) + rng.normal(0, 0.1, (16, 1)) + rng.normal(0, 0.05, (16, 21))
    found = everywhere(losses(np.linspace(0, 1, 21), 0.3 + 0.4 * slope))
    assert found.mean.argmin() == 0
    assert np.quantile(found.best, 0.5) == 0.0


def line(ratios, ends):
    """The curve of prompts whose loss rises by 0.4 over the range; the rows are of `ratios`."""
    prompts = tuple(f"p{i}" for i in range(12))
    rows = table({ratio: "o" * 12 for ratio in sorted(ratios)}, prompts=prompts)
    own = np.random.default_rng(6).normal(0, 0.03, len(rows))
    rows = rows.assign(at=rows["ratio"], loss=0.2 + 0.4 * rows["ratio"] + own)
    trials = pd.DataFrame({"trial": range(len(ratios)), "at": sorted(ratios), "survived": 1.0})
    return optimum.curve_of(trials, rows, 0.5, SURE, ends), rows


def test_beyond_the_last_ratio_drawn_the_best_may_lie_as_far_as_is_searched():
    """Of random ratios the least is no end: an interval that stops there is narrow, and never holds 0."""
    ratios = [0.31, 0.4, 0.55, 0.62, 0.7]
    curve, rows = line(ratios, (0.0, 1.0))
    window = find_window(pd.Series(1.0, ratios), rows, 0.31, 0.5)
    interval = optimum.doubt(curve, 0.31, SURE, window).interval
    assert interval.low == 0.0
    assert interval.high < 0.5
    assert optimum.doubt(line(ratios, None)[0], 0.31, SURE, window).interval.low == 0.31


def test_where_most_prompts_fail_everywhere_a_few_failed_images_end_no_interval():
    """Beyond the middle three ratios one image each was drawn, which failed; its prompt fails there too."""
    ratios = np.linspace(0, 1, 9)
    images = np.zeros((12, 9))
    images[0], images[:, 3:6] = 1, 1
    own = np.random.default_rng(7).normal(0, 0.1, (12, 9))
    for least, held in ((1.2, (0.0, 1.0)), (0.8, (0.25, 0.75)), (0.3, (0.25, 0.75))):
        mean = np.where(np.arange(12) == 0, 1.4, least)[:, None] + own
        found = everywhere(losses(ratios, mean * images, images))
        places = optimum.places_of(found, ratios, (0.0, 1.0), 0.5, 0.95)
        assert found.reaches == [held]
        assert (places[0].low, places[0].high) == pytest.approx(held)


@pytest.mark.night
@pytest.mark.parametrize("world", ["linear", "shallow"])
def test_an_interval_holds_at_the_first_time_that_it_is_narrow(world):
    """Ratios in any order, until the interval is 0.3 wide: it then holds the best in 93% of 30 studies."""
    held = []
    for seed in range(300, 330):
        shape = DRAW[world](np.random.default_rng([seed, 0]))
        images = drawn(shape, 16, 1, np.random.default_rng([seed, 2]))
        order = np.random.default_rng([seed, 9]).permutation(len(images.ratios))
        best = images.ratios[shape.plateau(1 - images.ratios if shape.mirrored else images.ratios).argmin()]
        for count in range(3, 60):
            found = first_ratios(images, np.sort(order[:count]))
            if found.high - found.low <= 0.3:
                held.append(found.low - 0.005 <= best <= found.high + 0.005)
                break
    assert len(held) > 20
    assert np.mean(held) >= 0.93


def first_ratios(images, own):
    """The interval of the best, of these ratios alone."""
    rows = pd.DataFrame({"trial": np.repeat(own, 16), "at": np.repeat(images.ratios[own], 16)})
    rows["prompt_id"], rows["verdict"] = np.tile(np.arange(16), len(own)), "ok"
    rows["loss"] = images.losses[own].ravel()
    trials = pd.DataFrame({"trial": own, "at": images.ratios[own], "survived": 1.0})
    curve = optimum.curve_of(trials, rows, 0.5, SURE, (0.0, 1.0))
    return optimum.doubt(curve, optimum.recommended(curve, 0.95)[0]["at"], SURE).interval


def test_means_that_differ_by_no_more_than_their_errors_make_a_flat_curve():
    ratios, rng = np.linspace(0, 1, 21), np.random.default_rng(2)
    noise = 0.3 + rng.normal(0, 0.03, (16, 21))
    found = everywhere(losses(ratios, noise))
    assert np.ptp(found.mean) < 0.5 * np.ptp(noise.mean(axis=0))
    assert (np.ptp(found.draws, axis=1) < MARGIN).mean() > 0.95


def test_errors_of_neighbours_are_as_alike_as_the_prompts_are():
    """Of prompts whose losses decay over a fifth of the range, with half of the variance each image's own."""
    ratios, rng = np.linspace(0, 1, 41), np.random.default_rng(4)
    decay = np.exp(-np.abs(ratios[:, None] - ratios) / 0.2)
    common = rng.normal(size=(400, 41)) @ np.linalg.cholesky(decay).T
    found = error_correlation(common + rng.normal(size=common.shape), ratios)
    assert found[0, 8] == pytest.approx(CORRELATED * 0.5 * np.exp(-1), abs=0.05)
    assert found[0, 1] == pytest.approx(CORRELATED * 0.5 * decay[0, 1], abs=0.05)
    assert np.diag(found) == pytest.approx(1)
    alone = error_correlation(rng.normal(size=common.shape), ratios)
    assert np.abs(alone - np.eye(41)).max() < 0.1


def test_left_out_prompts_are_those_of_a_study_without_them():
    """The expected losses without a prompt have the order that the others alone give them."""
    owns = np.random.default_rng(3).normal(0.5, 0.05, 12)
    whole, without = everywhere(bowls(owns)), everywhere(bowls(owns[1:]))
    left = whole.without[0] - whole.without[0].mean()
    assert left == pytest.approx(without.mean - without.mean.mean(), abs=0.01)


def test_how_many_prompts_a_width_needs():
    def width(prompts):
        return 0.1 * t.ppf(0.975, prompts - 1 + POOLED) / np.sqrt(prompts)

    for have in (4, 8, 32):
        assert prompts_for(width(64), width(have), have, 0.95) == 64
        assert prompts_for(width(64) - 1e-6, width(have), have, 0.95) == 65
        assert prompts_for(width(have), width(have), have, 0.95) == have
    normal = 1.959964**2 * (0.1 / 1e-4) ** 2  # of very many, t is normal
    assert prompts_for(1e-4, width(8), 8, 0.95) == pytest.approx(normal, rel=1e-5)


def test_a_share_has_the_interval_of_clopper_and_pearson_where_one_verdict_in_twenty_is_wrong():
    """Theirs for 8 of 16: 0.2465 to 0.7535; a share was (share - 0.05) / 0.9 before such mistakes."""
    half = share_interval(np.repeat([0.0, 1.0], 8), 0.95)
    assert half == pytest.approx((0.1965 / 0.9, 0.7035 / 0.9), abs=1e-4)
    assert share_interval(np.ones(16), 0.95) == pytest.approx((0.0250 ** (1 / 16), 1.0), abs=1e-4)
    assert share_interval(np.array([1.0] + [0.0] * 15), 0.95)[0] == 0.0  # the only sound one may be misjudged


def test_an_edge_lies_between_what_is_surely_sound_and_what_surely_is_not():
    """Of 16 prompts 13 or more are surely more than half (p = 1.06%), 12 are not (3.8%); so for 3 and 4."""
    sound = {0.1: 3, 0.2: 4, 0.3: 8, 0.4: 12, 0.5: 13, 0.6: 16}
    prompts = tuple(f"p{i}" for i in range(16))
    rows = table({ratio: "o" * n + "b" * (16 - n) for ratio, n in sound.items()}, prompts=prompts)
    kept = (rows["verdict"] == "ok").groupby(rows["ratio"]).mean()
    window = find_window(kept, rows.assign(at=rows["ratio"]), 0.6, 0.5)
    assert (window.low.inside, window.low.least, window.low.most) == (0.3, 0.1, 0.5)
    assert (window.high.outside, window.high.least, window.high.most) == (None, 0.6, 0.6)
    assert window.sure
    few = rows[rows["prompt_id"].isin(prompts[:5])]  # five of five are 3.1%
    kept = (few["verdict"] == "ok").groupby(few["ratio"]).mean()
    assert not find_window(kept, few.assign(at=few["ratio"]), 0.6, 0.5).sure


def test_seeds_of_one_prompt_do_not_make_an_edge_surer():
    prompts = tuple(f"p{i}" for i in range(5))
    once = table({0.1: "bbbbb", 0.5: "ooooo", 0.6: "obobo"}, prompts=prompts)
    seeds = pd.concat([once.assign(seed=seed) for seed in range(8)])
    kept = (seeds["verdict"] == "ok").groupby(seeds["ratio"]).mean()
    assert not find_window(kept, seeds.assign(at=seeds["ratio"]), 0.5, 0.5).sure


# -- worlds


def answered(world: str, seed: int):
    shape = DRAW[world](np.random.default_rng([seed, 0]))
    images = drawn(shape, *size_of(world), np.random.default_rng([seed, 2]))
    results = run_of(images, np.full(len(images.ratios), images.verdicts.shape[1]), np.random.default_rng(3))
    return shape, results, analyse(results, resamples=300)


def test_of_two_windows_one_is_taken_and_never_the_gap_between():
    for seed in range(3):
        world, _, answer = answered("two", seed)
        middles = [curve.low + curve.width / 2 for curve in world.windows]
        assert min(abs(answer.best.ratio - middle) for middle in middles) < world.windows[0].width / 2
        trials = dict(enumerate(np.round(np.linspace(0, 1, 101), 2)))
        assert all(
            min(abs(trials[one] - middle) for middle in middles) < world.windows[0].width
            for one in answer.tied
        )


@pytest.mark.parametrize("world", ["two", "end", "errors"])
def test_no_tied_trial_has_more_sound_images(world):
    for seed in range(2):
        _, results, answer = answered(world, seed)
        sound = results.trials.set_index("trial")["survived"]
        assert answer.tied
        assert answer.best.survived >= sound[list(answer.tied)].max()


def test_flat_is_said_and_its_middle_taken():
    _, _, answer = answered("flat", 1)
    assert answer.best.plateau.whole
    assert answer.best.ratio == 0.5
    assert (answer.best.plateau.low, answer.best.plateau.high) == (0.0, 1.0)
    assert "from 0.00 to 1.00 nothing differs by more than 0.05" in answer.sentence


def test_what_survived_until_it_was_stopped_as_worse_leaves_no_flat_curve():
    """Ten prompts lose 0.2 at 0 and at 0.1, and 0.4 beyond: one ratio there was whole, and the others not."""
    prompts = tuple(f"p{i}" for i in range(10))
    rows = table({0.0: "o" * 10, 0.1: "o" * 10, 0.5: "o" * 10, 1.0: "o" * 10}, prompts=prompts)
    rows = rows.assign(at=rows["ratio"], loss=np.where(rows["ratio"] < 0.3, 0.2, 0.4))
    stopped = (rows["ratio"] > 0.3) & ~rows["prompt_id"].isin(prompts[:6])
    trials = pd.DataFrame({"trial": [0, 1], "at": [0.0, 0.1], "survived": 1.0})
    curve = optimum.curve_of(trials, rows[~stopped], 0.5, SURE)
    assert not optimum.is_flat(curve, 0.95)
    alone = optimum.curve_of(trials, rows.assign(loss=0.2), 0.5, SURE)
    assert optimum.is_flat(alone, 0.95)


def test_what_too_few_prompts_survive_is_not_said_of_others():
    _, _, answer = answered("none", 0)
    assert answer.best.window is None or not answer.best.window.sure
    assert "that range begins at" not in answer.sentence


def test_two_lucky_survivors_are_no_flat_curve():
    """At 0.78 and 0.79 eight of 16 images are healthy, at ratios about them seven: those may be better."""
    _, _, answer = answered("none", 15)
    assert answer.best.survived == 0.5
    assert not answer.best.plateau.whole
    assert "take any" not in answer.sentence
    assert "; this is a guess: 16 prompts tell only that the best ratio lies between 0." in answer.sentence


def test_a_curve_with_one_prompt_has_no_interval():
    images = table({0.2: "o", 0.5: "o", 0.8: "o"}, prompts=("p1",)).assign(at=lambda r: r["ratio"], loss=0.3)
    trials = pd.DataFrame({"trial": [0, 1, 2], "at": [0.2, 0.5, 0.8], "survived": 1.0})
    curve = optimum.curve_of(trials, images, 0.5, Sureness(0.95, 100, 0))
    assert optimum.doubt(curve, 0.5, Sureness(0.95, 100, 0)).interval is None
    assert optimum.recommended(curve, 0.95)[0]["at"] == 0.5
    assert optimum.elsewhere(curve, images, 0.95) is None


def test_a_curve_of_thousands_of_ratios_is_read_at_some_hundreds():
    """A posterior of all of them would take memory by the square of their number."""
    at = np.sort(np.random.default_rng(5).random(3000))
    prompts = np.arange(6)
    images = pd.DataFrame(
        {"trial": np.repeat(range(3000), 6), "prompt_id": np.tile(prompts, 3000), "at": np.repeat(at, 6)}
    )
    images["loss"] = (images["at"] - 0.4 - 0.01 * images["prompt_id"]) ** 2 + 0.1 * images["prompt_id"]
    images["verdict"] = "ok"
    trials = pd.DataFrame({"trial": range(3000), "at": at, "survived": 1.0})
    found = optimum.curve_of(trials, images, 0.5, Sureness(0.95, 200, 0))
    assert found.found is not None
    assert len(found.found.ratios) == optimum.MOST_RATIOS
    assert len(found.trials) == 3000
    assert found.trials.loc[found.trials["loss"].idxmin(), "at"] == pytest.approx(0.425, abs=0.03)
