"""Known answers: a parabola's optimum, a hand-made window, the middle of a tie."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.ranking import as_good_as, holm
from tests.helpers.made_up import bowl, results_of, table

NOWHERE = Path("nowhere")


def test_window_edges_and_what_ends_it():
    verdicts = {0.3: "bb", 0.4: "gb", 0.45: "go", 0.5: "oo", 0.6: "oo", 0.7: "ou", 0.8: "uu", 0.9: "oo"}
    window = analyse(results_of(NOWHERE, table(verdicts), ("ratio",))).best.window
    assert (window.low.outside, window.low.inside) == (0.4, 0.45)
    assert (window.high.inside, window.high.outside) == (0.7, 0.8)
    assert (window.low.prompt, window.low.prompt_at) == ("p1", 0.45)
    assert (window.high.prompt, window.high.prompt_at) == ("p2", 0.7)
    assert window.low.verdict in {"ghost", "blank"}
    assert window.high.verdict == "burnt"


def test_window_up_to_the_end_of_the_sweep_has_no_outside():
    answer = analyse(results_of(NOWHERE, table({0.2: "bb", 0.5: "oo", 0.8: "oo"}), ("ratio",)))
    assert answer.best.window.high.outside is None
    assert "(blank below, 0.80 is the highest ratio tried)" in answer.sentence


def test_a_best_value_that_ends_what_was_tried_is_told_unless_it_is_a_parent():
    for ratios, said in (((0.5, 0.8), True), ((0.5, 1.0), False)):
        verdicts = dict(zip(ratios, ("bb", "oo"), strict=True))
        answer = analyse(results_of(NOWHERE, table(verdicts), ("ratio",)))
        assert answer.best.ratio == ratios[1]
        assert answer.sentence.endswith(" Ratio 0.80 is the highest tried: try higher.") == said


def test_survivors_count_before_defect():
    defects = {0.2: [0.0, 0.1], 0.5: [0.4, 0.4], 0.8: [0.0, 0.0]}
    answer = analyse(results_of(NOWHERE, table({0.2: "ob", 0.5: "oo", 0.8: "ob"}, defects), ("ratio",)))
    assert answer.parameters == {"ratio": 0.5}


@pytest.mark.parametrize(("tied", "middle"), [((0.4, 0.5, 0.6), 0.5), ((0.3, 0.4, 0.5, 0.6, 0.9), 0.6)])
def test_ties_go_to_the_middle_of_their_run(tied, middle):
    verdicts = {0.1: "bb"} | dict.fromkeys(tied, "oo") | {0.95: "uu"}
    assert analyse(results_of(NOWHERE, table(verdicts), ("ratio",))).best.ratio == middle


def test_a_run_of_ties_ends_where_one_is_worse():
    defects = {0.3: [0.0] * 4, 0.4: [0.5, 0.6, 0.5, 0.6], 0.5: [0.0] * 4, 0.6: [0.0] * 4, 0.7: [0.0] * 4}
    best = analyse(results_of(NOWHERE, table(dict.fromkeys(defects, "oooo"), defects), ("ratio",))).best
    assert best.ratio in {0.3, 0.6}


@pytest.mark.night
def test_the_interval_covers_a_known_optimum():
    found = [analyse(results_of(NOWHERE, bowl(s), ("ratio",)), resamples=300).best for s in range(20)]
    covered = sum(best.interval.low <= 0.58 <= best.interval.high for best in found)
    assert covered >= 17
    assert max(best.interval.high - best.interval.low for best in found) < 0.25
    assert all(best.interval.low <= best.ratio <= best.interval.high for best in found)


def test_an_only_image_is_not_called_healthy_where_it_is_not():
    for verdict, said in (("b", "its only image is not healthy"), ("o", "its only image is healthy")):
        rows = table({0.2: verdict, 0.5: verdict}, prompts=("p1",))
        assert said in analyse(results_of(NOWHERE, rows, ("ratio",))).sentence


def test_the_same_seed_gives_the_same_interval():
    results = results_of(NOWHERE, bowl(0), ("ratio",))
    assert analyse(results) == analyse(results)


def test_one_prompt_is_a_guess_and_two_ratios_are_no_curve():
    one = analyse(results_of(NOWHERE, table({0.2: "b", 0.5: "o", 0.8: "u"}, prompts=("p1",)), ("ratio",)))
    assert one.best.interval is None
    assert "with only one prompt, this is a guess" in one.sentence
    two = analyse(results_of(NOWHERE, table({0.2: "bb", 0.5: "oo"}), ("ratio",))).best
    assert two.interval is None
    assert two.doubt.smoothed is None


def test_holm_on_a_textbook_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_a_trial_is_as_good_by_prompts_and_not_by_images():
    """Student's t over prompts: of 8 differences of mean 0.02 and deviation 0.05, P(≤ 0.05) is 93%."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=8)
    apart = 0.02 + 0.05 * (own - own.mean()) / own.std(ddof=1)
    rows = [
        {"trial": trial, "prompt_id": f"p{p}", "seed": seed, "loss": 0.3 + by * extra}
        for trial, by in ((3, 0.0), (5, 1.0), (7, 5.0), (9, 0.0))
        for p, extra in enumerate(apart)
        for seed in range(4)
    ]
    assert t.cdf(0.03 / (0.05 / np.sqrt(8)), 7) == pytest.approx(0.934, abs=1e-3)
    assert as_good_as(3, pd.DataFrame(rows), (3, 5, 7, 9), 0.05) == (5, 9)
    assert as_good_as(3, pd.DataFrame(rows).query("prompt_id == 'p0'"), (5, 9), 0.05) == ()


def test_each_combination_of_other_parameters_is_a_slice():
    epsilon = table({0.1: "oo", 0.5: "oo", 0.9: "bb"}, **{"render.prediction_type": "epsilon"})
    vpred = table({0.1: "bb", 0.5: "ob", 0.9: "ob"}, **{"render.prediction_type": "v_prediction"})
    images = pd.concat([epsilon, vpred.assign(trial=vpred["trial"] + 3)])
    answer = analyse(results_of(NOWHERE, images, ("ratio", "render.prediction_type")))
    assert [found.settings["render.prediction_type"] for found in answer.slices] == [
        "epsilon",
        "v_prediction",
    ]
    assert answer.slices[0].window.high.outside == 0.9
    assert answer.slices[1].window.low.outside == 0.1
    assert "in epsilon mode" in answer.sentence


def test_a_parent_is_called_by_its_name():
    answer = analyse(results_of(NOWHERE, table({0.0: "oo", 0.5: "bb", 1.0: "bb"}), ("ratio",)))
    assert answer.best.parent == "base"
    assert "base itself" in answer.sentence


def test_nothing_survives_and_nothing_finished():
    answer = analyse(results_of(NOWHERE, table({0.2: "bb", 0.5: "gg", 0.8: "uu"}), ("ratio",)))
    assert answer.best.window is None
    assert "No ratio keeps 50% of its images" in answer.sentence
    waiting = results_of(NOWHERE, table({0.2: "bb"}), ("ratio",), waiting=[{"ratio": 0.5}])
    nothing = analyse(replace(waiting, images=waiting.images.iloc[:0], trials=waiting.trials.iloc[1:]))
    assert nothing.best is None
    assert nothing.sentence == "No answer yet: none of the 2 trials is complete."
    stopped = results_of(NOWHERE, table({0.2: "bb", 0.5: "gg"}), ("ratio",))
    stopped = replace(stopped, trials=stopped.trials.assign(partial=True, state="PRUNED"))
    assert analyse(stopped).sentence == (
        "Nothing survives: all 2 trials were stopped because too few images were healthy."
    )


def test_unfinished_says_how_far_it_is():
    results = results_of(NOWHERE, table({0.2: "bb", 0.5: "oo"}), ("ratio",), waiting=[{"ratio": 0.8}])
    assert analyse(results).sentence.startswith("So far, with 2 of 3 trials: take ratio 0.50")


def test_undefined_numbers_do_not_spread():
    images = table({0.2: "bb", 0.5: "oo", 0.8: "uu"}).assign(blur=math.nan)
    images.loc[0, "defect"] = math.nan
    best = analyse(results_of(NOWHERE, images, ("ratio",))).best
    assert best.ratio == 0.5
    assert math.isfinite(best.doubt.smoothed)


def test_an_experiment_without_a_searched_number():
    images = table({0.5: "oo"}).drop(columns="ratio")
    answer = analyse(results_of(NOWHERE, images, ()))
    assert answer.sentence == "Take trial 0: all 2 images are healthy; no ratio was searched."
