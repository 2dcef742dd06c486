"""What an answer says: the sentence, the first screen and best.json of curves of every shape."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridsearch.app.terminal.answer import last_lines
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.analysis.certainty import how_sure
from gridsearch.results.analysis.sentence import headline_text
from tests.helpers.made_up import RATIOS, results_of, table

PROMPTS = tuple(f"p{i}" for i in range(16))


def said(letters_at, defect_at, prompts=16, **extra):
    """The sentence, the first screen as a text by label, and best.json, of 16 images at 21 ratios.

    `letters_at(ratio)` are the verdicts of all images, `defect_at(ratio)` what a sound one's defect is
    about; each prompt adds its own to all ratios, and each image a little. The page begins with `title`.
    """
    rng = np.random.default_rng(0)
    own = np.resize(rng.uniform(0.0, 0.3, 16)[:prompts], 16)
    verdicts = {ratio: letters_at(ratio) for ratio in RATIOS}
    defects = {
        ratio: np.where(np.array(list(verdicts[ratio])) == "o", defect_at(ratio) + own + jitter, 7.0)
        for ratio, jitter in zip(RATIOS, rng.uniform(0, 0.02, (len(RATIOS), 16)), strict=True)
    }
    rows = table(verdicts, defects, PROMPTS[:prompts], **extra)
    results = results_of(Path("nowhere"), rows, ("ratio",))
    answer = analyse(results, resamples=1000)
    screen = {line[2:10].strip(): line[10:] for line in last_lines(results, answer)}
    screen["title"] = headline_text(answer)
    return answer.sentence, screen, json.loads(json.dumps(best_dict(results, answer), allow_nan=False))


def inside(low, high, below="b", above="u"):
    return lambda ratio: 16 * (below if ratio < low else "o" if ratio <= high else above)


def bowl(centre, depth=0.0):
    return lambda ratio: depth + 10 * (ratio - centre) ** 2


@cache
def usual():
    return said(inside(0.3, 0.6), bowl(0.45), dial=0.0)


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
        "Take ratio 0.80 (20% base + 80% model “burnt”): all 16 images are healthy; "
        "the best ratio lies between 0.7"
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
    assert "are healthy) from 0.40 to 0.60 on these prompts (burnt below, blank above)" in sentence
    assert screen["window"].startswith("0.40 to 0.60")
    assert [best["window"][side]["verdict"] for side in ("low", "high")] == ["burnt", "blank"]


def test_a_flat_curve_has_no_best():
    sentence, screen, best = said(lambda _: 16 * "o", lambda _: 0.0)
    assert sentence == (
        "Take ratio 0.50 (50% base + 50% model “burnt”): all 16 images are healthy; "
        "from 0.00 to 1.00 nothing differs by more than 0.05 in the mean loss (95% sure), "
        "so take any ratio, or this one for its distance from the ends, "
        "and the merge survives (at least half of its images are healthy) from 0.00 to 1.00, the whole range."
    )
    assert screen["equal"].startswith("0.00 to 1.00 draw equally well, within 0.05 of the loss (95% sure)")
    assert screen.keys().isdisjoint({"chance", "more"})
    assert (best["plateau"]["whole"], best["ratio"], len(best["tied"])) == (True, 0.5, 20)


def test_a_single_misjudged_image_does_not_move_the_best_of_a_plateau():
    wrong = np.random.default_rng(1).random((21, 16)) < 0.03
    wrong[10], wrong[2] = False, False
    sentence, screen, best = said(
        lambda ratio: "".join("u" if bad else "o" for bad in wrong[round(ratio * 20)]), bowl(0.5)
    )
    assert abs(best["ratio"] - 0.5) <= 0.1
    assert screen["title"] == f"Take ratio {best['ratio']:.2f}"
    assert re.search(
        r"expect (9\d|100)% of the images to be healthy \(\d\d% to 100%, 95% sure\)", screen["others"]
    )
    assert "are healthy) from 0.00 to 1.00, the whole range" in sentence
    assert best["others"] == []


def test_where_too_few_prompts_are_sound_nothing_is_said_to_survive():
    centres = np.random.default_rng(2).uniform(0, 1, 16)
    sentence, screen, best = said(
        lambda ratio: "".join("o" if abs(ratio - at) < 0.15 else "b" for at in centres), lambda _: 0.0
    )
    assert sentence.startswith("No ratio keeps 50% of its images healthy; the least bad is ratio 0.")
    assert "are healthy) from" not in sentence
    assert "window" not in screen
    assert screen["title"].startswith("Least bad: ratio 0.")
    assert (best["window"], best["others"]) == (None, [])


def test_nothing_sound_anywhere_is_no_ratio_to_take():
    sentence, screen, best = said(
        lambda ratio: "o" * (ratio in (0.2, 0.7)) + "u" * (16 - (ratio in (0.2, 0.7))), lambda _: 0.0
    )
    assert screen["title"].startswith("Least bad: ")
    assert best["elsewhere"]["low"] == 0.0  # the one sound image may be misjudged
    assert sentence.startswith("No ratio keeps 50% of its images healthy")
    assert "take any" not in sentence
    assert best["window"] is None


def test_edges_that_scatter_are_intervals():
    lows, highs = np.random.default_rng(3).uniform([[0.1], [0.6]], [[0.4], [0.9]], (2, 16))
    sentence, screen, best = said(
        lambda ratio: "".join(
            "b" if ratio < a else "u" if ratio > b else "o" for a, b in zip(lows, highs, strict=True)
        ),
        bowl(0.5),
    )
    found = re.search(r"that range begins at ([\d.]+)–([\d.]+) and ends at ([\d.]+)–([\d.]+)\.$", sentence)
    low, lower, upper, high = map(float, found.groups())
    assert low < np.median(lows) < lower
    assert upper < np.median(highs) < high
    assert [best["window"]["low"][end] for end in ("least", "most")] == [low, lower]
    ends = [f"{best['window'][side]['inside']:.2f}" for side in ("low", "high")]
    assert screen["window"].startswith(" to ".join(ends))


def test_a_soft_edge_is_an_interval_and_a_sharp_one_is_a_step():
    """All prompts fail below 0.3 at once, above 0.5 one after another."""
    tops = np.linspace(0.5, 0.9, 16)
    sentence, screen, best = said(
        lambda ratio: "".join("b" if ratio < 0.3 else "o" if ratio <= top else "u" for top in tops), bowl(0.3)
    )
    low, high = best["window"]["low"], best["window"]["high"]
    assert (low["least"], low["most"]) == (0.25, 0.3)
    assert high["least"] < np.median(tops) < high["most"]
    assert high["most"] - high["least"] >= 0.15
    assert sentence.endswith(
        f"that range begins at 0.25–0.30 and ends at {high['least']:.2f}–{high['most']:.2f}."
    )
    assert screen["title"] in ("Take ratio 0.30", "Take ratio 0.35")
    assert screen["chance"].startswith(f"of being as good as any ratio tried: {best['ratio']:.2f} ")
    assert screen["window"].startswith(
        "0.30 to 0.70; first failed images: p0 at 0.25 below, p0 at 0.55 above"
    )


def test_what_little_a_plateau_slopes_is_said_and_what_is_as_good():
    sentence, screen, best = said(lambda _: 16 * "o", lambda ratio: 0.4 * ratio)
    assert (best["parent"], best["plateau"]["whole"]) == ("base", False)
    assert sentence.startswith(
        "Take ratio 0.00, which is base itself: all 16 images are healthy; the best ratio"
    )
    assert sentence.endswith(
        "and the merge survives (at least half of its images are healthy) from 0.00 to 1.00, the whole range."
    )
    assert screen["equal"].startswith("0.00 to 0.")
    assert screen["chance"].startswith("of being as good as any ratio tried: 0.00 100%")
    assert best["chances"][-1]["chance"] == 0.0


def test_a_shallow_bowl_has_its_best_in_the_middle():
    sentence, screen, best = said(lambda _: 16 * "o", lambda ratio: 1.2 * (ratio - 0.5) ** 2)
    assert best["interval"]["low"] < 0.5 < best["interval"]["high"]
    assert best["plateau"]["low"] < 0.5 < best["plateau"]["high"]
    assert re.match(
        r"Take ratio 0\.(45|50|55) .*: all 16 images are healthy; the best ratio lies between 0\.", sentence
    )
    assert screen["equal"].startswith(
        f"{best['plateau']['low']:.2f} to {best['plateau']['high']:.2f} draw equally well"
    )


def test_four_seeds_of_a_prompt_are_no_more_prompts():
    """The same images as of 16 prompts and as of 4 prompts: fewer prompts know less."""
    many = usual()[2]
    sentence, screen, few = said(inside(0.3, 0.6), bowl(0.45), prompts=4)
    assert few["interval"]["prompts"] == 4
    assert screen["best in"].endswith("over 4 prompts; so few prompts make this rough")
    assert few["elsewhere"]["low"] < many["elsewhere"]["low"]
    assert few["window"]["sure"] is False
    assert "on these prompts (blank below, burnt above); these prompts are too few to tell" in sentence


def test_references_paler_or_stronger_than_merges_change_no_word():
    """They move every dial, by two spreads, say; verdicts and defects decide."""
    assert said(inside(0.3, 0.6), bowl(0.45), dial=-2.0) == usual()
    assert said(inside(0.3, 0.6), bowl(0.45), dial=2.0) == usual()


def test_the_best_lies_where_prompts_may_survive_and_only_what_survives_has_a_chance():
    rng = np.random.default_rng(4)
    _, _, best = said(
        lambda ratio: "".join(
            "o" if one < (0.9 if 0.2 < ratio < 0.8 else 0.25) else "bu"[ratio > 0.5] for one in rng.random(16)
        ),
        lambda _: 0.5,
    )
    low, high = (best["window"][side]["inside"] for side in ("low", "high"))
    assert best["window"]["low"]["least"] <= best["interval"]["low"]
    assert best["interval"]["high"] <= best["window"]["high"]["most"]
    assert all(one["chance"] == 0 for one in best["chances"] if not low <= one["ratio"] <= high)
    assert max(one["chance"] for one in best["chances"]) > 0
    assert best["narrowing"][-1]["width"] == pytest.approx(best["interval"]["high"] - best["interval"]["low"])
    assert best["file"] == f"toy-{best['ratio']:.2f}.safetensors"


def test_a_window_of_luck_does_not_end_the_interval():
    """Seven of 16 images are healthy from 0.3 to 0.7, and eight at two neighbouring ratios."""

    def letters(ratio):
        healthy = 8 if ratio in (0.5, 0.55) else 7 if 0.3 <= ratio <= 0.7 else 0
        return "".join("o" if (5 * i + round(ratio * 20)) % 16 < healthy else "b" for i in range(16))

    sentence, screen, best = said(letters, lambda _: 0.3)
    assert "are healthy) from 0.50 to 0.55 on these prompts" in sentence
    assert sentence.endswith("; these prompts are too few to tell for others.")
    assert best["interval"]["low"] < 0.45 < 0.6 < best["interval"]["high"]
    assert max(one["chance"] for one in best["chances"]) < 0.9  # the ratios beside are about as good
    assert screen["window"].startswith("0.50 to 0.55; first failed images: ")


def said_of_two_values(depths):
    """The answer of curves along the ratio, one for each cfg, of which a sound image has this defect more."""
    rng = np.random.default_rng(0)
    tables = []
    for i, (cfg, depth) in enumerate(depths.items()):
        defects = {at: bowl(0.45, depth)(at) + rng.uniform(0, 0.02, 16) for at in RATIOS}
        rows = table({at: inside(0.3, 0.6)(at) for at in RATIOS}, defects, PROMPTS, **{"render.cfg": cfg})
        tables.append(rows.assign(trial=rows["trial"] + i * len(RATIOS)))
    answer = analyse(results_of(Path("nowhere"), pd.concat(tables), ("ratio", "render.cfg")), resamples=500)
    return answer, answer.sentence


def test_higher_is_advised_only_where_every_step_towards_the_end_was_better():
    answer, sentence = said_of_two_values({2.0: 0.8, 5.0: 0.4, 7.0: 0.0})
    assert answer.runner_up is None
    assert sentence.endswith(" Cfg 7 is the highest tried: try higher.")
    _, sentence = said_of_two_values({2.0: 0.02, 5.0: 0.8, 7.0: 0.0})
    assert sentence.startswith("Take ratio 0.45 with cfg 7 ")
    assert "try higher" not in sentence


def test_another_curve_whose_best_is_as_good_is_named_and_leaves_no_answer_sure():
    answer, sentence = said_of_two_values({2.0: 0.02, 5.0: 0.8, 7.0: 0.0})
    other = next(one for one in answer.slices if one.trial == answer.runner_up)
    assert other.settings == {"render.cfg": 2.0}
    assert sentence.endswith(f" With cfg 2, ratio {other.ratio:.2f} is as good.")
    word, text = how_sure(answer)
    assert word != "sure"
    assert text.startswith("with cfg 7, the best ratio lies between ")
    assert text.endswith(f"; with cfg 2, ratio {other.ratio:.2f} is as good")
