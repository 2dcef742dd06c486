"""What an answer says: the sentence, the first screen and best.json of curves of every shape."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from gridsearch.app.terminal.answer import last_lines
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict
from tests.helpers.made_up import RATIOS, results_of, table

PROMPTS = tuple(f"p{i}" for i in range(16))


def said(letters_at, defect_at):
    """The sentence, the first screen as a text by label, and best.json, of 16 prompts at 21 ratios.

    `letters_at(ratio)` are the verdicts of all prompts, `defect_at(ratio)` what a sound one's defect is
    about; each prompt adds its own to all ratios, and a little to each.
    """
    rng = np.random.default_rng(0)
    own = rng.uniform(0.0, 0.3, 16)
    verdicts = {ratio: letters_at(ratio) for ratio in RATIOS}
    defects = {
        ratio: np.where(np.array(list(verdicts[ratio])) == "o", defect_at(ratio) + own + jitter, 7.0)
        for ratio, jitter in zip(RATIOS, rng.uniform(0, 0.02, (len(RATIOS), 16)), strict=True)
    }
    results = results_of(Path("nowhere"), table(verdicts, defects, PROMPTS), ("ratio",))
    answer = analyse(results, resamples=1000)
    screen = {line[2:10].strip(): line[10:] for line in last_lines(results, answer)}
    return answer.sentence, screen, json.loads(json.dumps(best_dict(results, answer), allow_nan=False))


def inside(low, high, below="b", above="u"):
    return lambda ratio: 16 * (below if ratio < low else "o" if ratio <= high else above)


def bowl(centre, depth=0.0):
    return lambda ratio: depth + 10 * (ratio - centre) ** 2


def test_of_two_equal_windows_both_are_named():
    first = inside(0.15, 0.35)
    sentence, screen, best = said(
        lambda ratio: first(ratio) if ratio < 0.5 else first(round(ratio - 0.5, 2)),
        lambda ratio: bowl(0.25)(ratio if ratio < 0.5 else ratio - 0.5),
    )
    assert best["ratio"] in (0.25, 0.75)
    other = "0.65 to 0.85" if best["ratio"] == 0.25 else "0.15 to 0.35"
    assert sentence.endswith(f"; it survives again from {other}.")
    assert re.search(
        r"the best ratio lies between 0\.\d+ and 0\.\d+ or between 0\.\d+ and 0\.\d+ \(95% sure\)", sentence
    )
    assert re.match(r"0\.\d+ to 0\.\d+ or 0\.\d+ to 0\.\d+, 95% sure, over 16 prompts", screen["best in"])
    for place, middle in zip(best["places"], (0.25, 0.75), strict=True):
        assert place["low"] < middle < place["high"]
    width = sum(place["high"] - place["low"] for place in best["places"])
    assert width < best["interval"]["high"] - best["interval"]["low"] - 0.3  # the gap is no doubt
    assert best["narrowing"][-1]["width"] == pytest.approx(width, abs=1e-3)


def test_a_good_and_narrow_window_is_taken_before_a_poor_and_wide_one():
    poor, good = inside(0.05, 0.45), inside(0.75, 0.85)
    sentence, screen, best = said(
        lambda ratio: (poor if ratio < 0.6 else good)(ratio),
        lambda ratio: bowl(0.25, 0.6)(ratio) if ratio < 0.6 else bowl(0.8)(ratio),
    )
    assert sentence.startswith(
        "Take ratio 0.80 (20% base + 80% “burnt”): all 16 images are healthy; the best ratio lies between 0.7"
    )
    assert sentence.endswith("; it survives again from 0.05 to 0.45.")
    assert " or " not in screen["best in"]
    assert (best["window"]["low"]["inside"], best["window"]["high"]["inside"]) == (0.75, 0.85)
    assert [(one["low"]["inside"], one["high"]["inside"]) for one in best["others"]] == [(0.05, 0.45)]


def test_the_best_at_an_end_is_the_model_itself():
    sentence, screen, best = said(inside(0.0, 0.5), bowl(0.0))
    assert sentence.startswith("Take ratio 0.00, which is base itself: all 16 images are healthy; ")
    assert "the best ratio lies between 0.00 and " in sentence
    assert "0.00 is the lowest ratio tried, burnt above" in sentence
    assert screen["best in"].startswith("0.00 to ")
    assert (best["parent"], best["interval"]["low"]) == ("base", 0.0)


def test_models_in_the_other_order_burn_below():
    sentence, screen, best = said(inside(0.4, 0.6, below="u", above="b"), bowl(0.5))
    assert sentence.startswith("Take ratio 0.50")
    assert "survives from 0.40 to 0.60 on these prompts (burnt below, blank above)" in sentence
    assert screen["window"].startswith("0.40 to 0.60")
    assert [best["window"][side]["verdict"] for side in ("low", "high")] == ["burnt", "blank"]


def test_a_flat_curve_has_no_best():
    sentence, screen, best = said(lambda _: 16 * "o", lambda _: 0.0)
    assert sentence == (
        "Take ratio 0.50 (50% base + 50% “burnt”): all 16 images are healthy; "
        "from 0.00 to 1.00 nothing differs by more than 0.05 in the mean loss (95% sure), "
        "so take any ratio, or this one for its distance from the ends, "
        "and the merge survives from 0.00 to 1.00, the whole range."
    )
    assert screen["equal"].startswith("0.00 to 1.00 draw as well, to 0.05 of the loss (95% sure)")
    assert screen.keys().isdisjoint({"chance", "more"})
    assert (best["plateau"]["whole"], best["ratio"], len(best["tied"])) == (True, 0.5, 20)


def test_a_single_misjudged_image_does_not_move_the_best_of_a_plateau():
    wrong = np.random.default_rng(1).random((21, 16)) < 0.03
    wrong[10], wrong[2] = False, False
    sentence, _, best = said(
        lambda ratio: "".join("u" if bad else "o" for bad in wrong[round(ratio * 20)]), bowl(0.5)
    )
    assert abs(best["ratio"] - 0.5) <= 0.1
    assert "survives from 0.00 to 1.00, the whole range" in sentence
    assert best["others"] == []


def test_where_too_few_prompts_are_sound_nothing_is_said_to_survive():
    centres = np.random.default_rng(2).uniform(0, 1, 16)
    sentence, screen, best = said(
        lambda ratio: "".join("o" if abs(ratio - at) < 0.15 else "b" for at in centres), lambda _: 0.0
    )
    assert sentence.startswith("No ratio keeps 50% of its images healthy; the least bad is ratio 0.")
    assert "survives from" not in sentence
    assert "window" not in screen
    assert (best["window"], best["others"]) == (None, [])


def test_nothing_sound_anywhere_is_no_ratio_to_take():
    sentence, _, best = said(
        lambda ratio: "o" * (ratio in (0.2, 0.7)) + "u" * (16 - (ratio in (0.2, 0.7))), lambda _: 0.0
    )
    assert sentence.startswith("No ratio keeps 50% of its images healthy")
    assert "take any" not in sentence
    assert best["window"] is None


def test_edges_that_scatter_are_intervals():
    lows, highs = np.random.default_rng(3).uniform([[0.1], [0.6]], [[0.4], [0.9]], (2, 16))
    sentence, _, best = said(
        lambda ratio: "".join(
            "b" if ratio < a else "u" if ratio > b else "o" for a, b in zip(lows, highs, strict=True)
        ),
        bowl(0.5),
    )
    found = re.search(r"its ends lie in ([\d.]+)–([\d.]+) and ([\d.]+)–([\d.]+)\.$", sentence)
    low, lower, upper, high = map(float, found.groups())
    assert low < np.median(lows) < lower
    assert upper < np.median(highs) < high
    assert [best["window"]["low"][end] for end in ("least", "most")] == [low, lower]
