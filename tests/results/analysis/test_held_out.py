"""A winner by luck is unmasked, and an honest one is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_1samp, ttest_ind

from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.analysis.held_out import (
    LEVEL,
    _t_p,
    confirmations,
    fell_p,
    unmask,
    visible_fall,
    worse_p,
)
from gridsearch.score.score import image_losses
from tests.helpers.made_up import results_of, with_columns, with_facts


def rows(sound: dict[int, list[int]], prompts: str, seeds: int = 4) -> pd.DataFrame:
    """Images from how many of `seeds` are sound, by trial and then by prompt; ratio is trial / 100."""
    found = [
        {"trial": trial, "ratio": trial / 100, "prompt_id": f"{prompts}{p}", "prompt": "x", "seed": s}
        | {"verdict": "ok" if s < good else "ghost", "defect": 0.3 if s < good else 5.0 + s / 10}
        for trial, by_prompt in sound.items()
        for p, good in enumerate(by_prompt)
        for s in range(seeds)
    ]
    images = pd.DataFrame(found)
    return images.assign(loss=image_losses(images["verdict"], images["defect"]))


SELECTION = {38: [2] * 8, 40: [4] * 7 + [3], 42: [4] * 8, 44: [4] * 7 + [3], 50: [0] * 8}
LUCKY = {42: [0, 1, 0, 3], 40: [4, 4, 4, 4], 44: [4, 4, 3, 4]}  # 4 of 16, 16 of 16, 15 of 16
HONEST = {42: [4, 4, 3, 4], 40: [4, 3, 4, 4], 44: [4, 4, 4, 4]}
HARDER = {42: [1, 0, 2, 1], 40: [1, 1, 1, 1], 44: [0, 1, 2, 1]}


def run(held_out: dict):
    results = results_of(Path("nowhere"), rows(SELECTION, "p"), ("ratio",))
    checks = with_columns(rows(held_out, "h").assign(role="held_out"))
    return with_facts(replace(results, checks=checks), held_out=["h0", "h1", "h2", "h3"])


def test_a_lucky_winner_makes_way_for_the_one_that_holds_up_best():
    results = run(LUCKY)
    assert analyse(replace(results, checks=pd.DataFrame())).best.ratio == 0.42
    answer = analyse(results)
    assert (answer.best.ratio, answer.parameters) == (0.40, {"ratio": 0.40})
    assert (answer.unmasked.trial, answer.unmasked.instead) == (42, 40)
    assert answer.sentence.startswith(
        "Take ratio 0.40 (60% base + 40% model “burnt”): 31 of 32 images are healthy"
    )
    assert answer.sentence.endswith(
        "Ratio 0.42 won on the selection prompts by luck: on the held-out prompts, 4 of 16 of its images "
        "are healthy, compared with 16 of 16 of the recommended trial."
    )
    best = best_dict(results, answer)
    assert best["recipe"]["merge"][0]["ratio"] == 0.40
    assert best["unmasked"]["named"] == "ratio 0.42"
    assert [check["state"] for check in best["checks"]][-1] == "alarm"
    assert answer.best.interval.low <= 0.40 <= answer.best.interval.high


def test_an_honest_winner_stays_though_another_has_one_sound_image_more():
    answer = analyse(run(HONEST))
    assert (answer.best.ratio, answer.unmasked) == (0.42, None)
    assert "by luck" not in answer.sentence
    assert answer.checks[-1].state == "passed"
    assert "15 of 16 images are healthy on 4 held-out prompts" in answer.checks[-1].text
    assert "would hardly show a fall of less than 0." in answer.checks[-1].text


def test_prompts_that_are_harder_for_all_move_nothing_and_are_told():
    answer = analyse(run(HARDER))
    assert (answer.best.ratio, answer.unmasked) == (0.42, None)
    assert answer.checks[-1].state == "alarm"
    assert "they may be harder" in answer.checks[-1].text


@pytest.mark.parametrize("state", ["WAITING", "PRUNED"])
def test_a_leader_that_more_prompts_have_queued_or_stopped_takes_over_from_none(state):
    results = run({42: LUCKY[42], 40: LUCKY[40]})
    assert analyse(results).unmasked.instead == 40
    trials = results.trials.copy()
    trials.loc[trials["trial"] == 40, "state"] = state
    if state == "WAITING":
        trials.loc[trials["trial"] == 40, ["survived", "defect"]] = np.nan
    again = results.checks.assign(role="repeat").query("trial == 40")  # it was drawn twice then
    grown = replace(results, trials=trials, checks=pd.concat([results.checks, again]))
    answer = analyse(grown)
    assert (answer.best.ratio, answer.unmasked) == (0.42, None)
    assert [leader.trial for leader in answer.confirmed] == [42]


def test_both_figures_of_every_leader():
    first, second, third = confirmations(42, rows(SELECTION, "p"), rows(LUCKY, "h"))
    assert [leader.trial for leader in (first, second, third)] == [42, 40, 44]
    assert (first.selection.sound, first.held_out.sound) == ("32 of 32", "4 of 16")
    assert second.selection.survived == pytest.approx(31 / 32)
    assert third.held_out.defect == pytest.approx((15 * 0.3 + 5.3) / 16)
    assert (first.fell < 0.05, second.fell < 0.05) == (True, False)


def test_one_held_out_prompt_proves_nothing():
    assert unmask(42, rows(SELECTION, "p"), rows({42: [0], 40: [4]}, "h")) is None


def test_a_leader_is_recommended_on_its_own_evidence():
    def unseen(trial, defects):
        rows = {"trial": trial, "prompt_id": [f"h{i}" for i in range(8)], "seed": 1, "verdict": "ok"}
        return pd.DataFrame(rows | {"defect": defects, "loss": image_losses(["ok"] * 8, defects)})

    steady = [0.9, 0.91, 0.89, 0.92, 0.9, 0.88, 0.9, 0.91]  # a little better each time
    erratic = [0, 0, 0, 1.1, 1.12, 1.1, 1.11, 1.1]  # best on average, and mostly worse than the winner
    held_out = pd.concat([unseen(0, [1.0] * 8), unseen(1, erratic), unseen(2, steady)])
    losses = held_out.pivot_table(index=["prompt_id", "seed"], columns="trial", values="loss")
    found = unmask(0, unseen(0, [1.0] * 8), held_out)
    assert found.instead == 2
    assert found.p == pytest.approx(2 * worse_p(losses[0] - losses[2]))  # Holm's, of two leaders
    assert worse_p(losses[0] - losses[1]) > 0.1


def equally_good(rng, leaders: int, prompts: str, count: int, seeds: int = 4) -> pd.DataFrame:
    """No leader is better: prompts differ, and each prefers a ratio of its own."""
    chance = 1 / (1 + np.exp(1.5 - rng.normal(0, 1, (1, count)) - rng.normal(0, 1, (leaders, count))))
    failed = rng.random((leaders, count, seeds)) < chance[:, :, None]
    place = np.indices(failed.shape).reshape(3, -1)
    defect = rng.gamma(2, 0.3, failed.shape) + 5 * failed
    verdict = np.where(failed.ravel(), "blank", "ok")
    table = pd.DataFrame({"trial": place[0], "prompt_id": [f"{prompts}{p}" for p in place[1]]})
    table = table.assign(seed=place[2], verdict=verdict, defect=defect.ravel())
    return table.assign(loss=image_losses(verdict, defect.ravel()))


@pytest.mark.night
def test_where_none_is_better_at_most_one_winner_in_twenty_is_unmasked():
    rng = np.random.default_rng(0)
    alarms, studies = 0, 60
    for _ in range(studies):
        images, held_out = equally_good(rng, 3, "p", 8), equally_good(rng, 3, "h", 4)
        score = images.assign(lost=images["verdict"] != "ok").groupby("trial")[["lost", "defect"]].mean()
        winner = int(score.sort_values(["lost", "defect"]).index[0])
        alarms += unmask(winner, images, held_out) is not None
    assert alarms / studies <= 0.05


def test_prompt_means_are_tested_as_scipy_tests_them():
    rng = np.random.default_rng(1)
    a, b = pd.Series(rng.normal(0.5, 1, 5)), pd.Series(rng.normal(0, 0.3, 8))
    assert _t_p(a) == pytest.approx(ttest_1samp(a, 0, alternative="greater").pvalue)
    assert _t_p(a, b) == pytest.approx(ttest_ind(a, b, equal_var=False, alternative="greater").pvalue)
    assert (_t_p(pd.Series([1.0, 1.0])), _t_p(pd.Series([0.0, 0.0])), _t_p(a[:1])) == (0.0, 1.0, 1.0)


def by_prompt(losses, kind: str) -> pd.DataFrame:
    return pd.DataFrame({"prompt_id": [f"{kind}{i}" for i in range(len(losses))], "loss": losses})


def test_a_fall_called_visible_shows_in_four_of_five_cases():
    """Its size is that of the t of two samples, (t95 + t80) s sqrt(2 / n), and so often the tests find it."""
    own = np.random.default_rng(0).normal(size=12)
    own = 0.4 + 0.1 * (own - own.mean()) / own.std(ddof=1)
    fall = visible_fall(by_prompt(own, "p"), by_prompt(own, "h"), LEVEL)
    assert fall == pytest.approx((t.ppf(0.95, 22) + t.ppf(0.8, 22)) * 0.1 * np.sqrt(2 / 12))
    rng = np.random.default_rng(1)
    draws = [(rng.normal(0.4, 0.1, 12), rng.normal(0.4 + fall, 0.1, 12)) for _ in range(150)]
    found = [fell_p(by_prompt(a, "p"), by_prompt(b, "h")) < LEVEL for a, b in draws]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)
    assert visible_fall(by_prompt(own, "p"), by_prompt(own[:1], "h"), LEVEL) == np.inf


def equals(seed: int, ratios: int = 20, prompts: int = 12, unseen: int = 4):
    """Ratios that are truly equal, on prompts of one kind, and the best one on unseen prompts."""
    rng = np.random.default_rng(seed)
    count = prompts + unseen
    defect = np.abs(1 + rng.normal(0, 0.1, count) + rng.normal(0, 0.3, (ratios, count)))
    trial, prompt = np.indices(defect.shape).reshape(2, -1)
    table = pd.DataFrame({"trial": trial, "ratio": trial / 100, "prompt_id": [f"p{i}" for i in prompt]})
    table = table.assign(prompt="x", seed=1, verdict="ok", defect=defect.ravel())
    apart = prompt >= prompts
    results = results_of(Path("nowhere"), table[~apart], ("ratio",))
    best = analyse(results, resamples=10).best.trial
    checks = with_columns(table[apart & (trial == best)].assign(role="held_out"))
    return with_facts(replace(results, checks=checks), held_out=[f"p{i}" for i in range(prompts, count)])


def test_the_luckiest_of_equals_falls_back_without_an_alarm():
    answer = analyse(equals(4), resamples=10)  # of 80 seeds, one where it falls
    assert answer.confirmed[0].fell < 0.05
    assert answer.checks[-1].state == "passed"
