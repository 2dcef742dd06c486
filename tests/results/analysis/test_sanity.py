"""Each check passes, alarms, or says why it could not be made; and reaches page, last screen and tables."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from gridsearch.app.terminal.answer import MAX_WIDTH, last_lines
from gridsearch.report.build import build
from gridsearch.report.grid import build_grid
from gridsearch.report.page.html import report_html
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.sanity import has_shifted
from tests.helpers.made_up import make_results, with_columns, with_facts

RATIOS = (0.0, 0.3, 0.5, 0.6, 1.0)
ENDS, MERGES, IMAGES, REPEAT, HELD_OUT = range(5)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run of a version that kept no fingerprints and checked nothing."""
    return make_results(
        tmp_path_factory.mktemp("checked"), ratios=RATIOS, prompts=("a cat", "a dog", "a cow")
    )


@pytest.fixture(scope="module")
def kept(plain):
    """The same with all that is kept now: trial 4 was stopped, the leaders 2 and 3 are checked, 3 twice."""
    images = plain.images.assign(digest=[f"{i:04x}" for i in range(len(plain.images))])
    images = images[(images["trial"] != 4) | (images["prompt_id"] == "p1")]
    trials = plain.trials.assign(weights=[f"{i:010x}" for i in range(5)], partial=plain.trials["trial"] == 4)
    reason = "0 of 2 images are healthy"
    trials.loc[trials["trial"] == 4, ["state", "reason", "images"]] = ["PRUNED", reason, 2]
    leaders = images[images["trial"].isin([2, 3])]
    unseen = leaders.assign(prompt_id="h" + leaders["prompt_id"].str[1:], prompt="a hen", role="held_out")
    again = images[images["trial"] == 3].assign(role="repeat")
    return replace(
        plain,
        images=images,
        trials=trials,
        checks=with_columns(pd.concat([unseen, again], ignore_index=True)),
        facts=replace(
            plain.facts,
            held_out=["h1", "h2", "h3"],
            parents={"base": f"{0:010x}", "burnt": f"{4:010x}"},
        ),
    )


def state(results, check: int) -> tuple[str, str]:
    found = analyse(results).checks[check]
    return found.state, found.text


def test_a_good_run_passes_them_all(kept):
    checks = analyse(kept).checks
    assert [check.state for check in checks] == ["passed"] * 5
    assert checks[ENDS].text == "Ratio 0.00 is base, ratio 1.00 is burnt, bit for bit."
    assert "6 of 6 images are the same, pixel for pixel" in checks[REPEAT].text


def test_a_run_without_them_says_of_each_why(plain):
    answer = analyse(plain)
    assert {check.state for check in answer.checks} == {"not done"}
    assert not answer.alarms


def test_an_end_that_is_not_its_parent(kept):
    wrong = with_facts(kept, parents={"base": "ffff", "burnt": f"{4:010x}"})
    assert state(wrong, ENDS) == ("alarm", "Ratio 0.00 is not base, though the recipe says so.")


def test_two_ratios_with_the_same_weights(kept):
    trials = kept.trials.copy()
    trials.loc[trials["trial"] == 3, "weights"] = trials["weights"][1]
    assert state(replace(kept, trials=trials), MERGES) == (
        "alarm",
        "Ratio 0.30 and ratio 0.60 have the same weights.",
    )


def test_two_ratios_with_the_same_images_and_what_is_alike_anyway(kept):
    images = kept.images.copy()
    images.loc[images["trial"].isin([0, 4]), "digest"] = "none"  # alike, and said to be so
    same, text = state(replace(kept, images=images), IMAGES)
    assert (same, text) == ("alarm", "Ratio 0.00 and ratio 1.00 rendered the same images, pixel for pixel.")
    broken = images.assign(verdict=images["verdict"].where(images["digest"] != "none", "nan"))
    assert state(replace(kept, images=broken), IMAGES)[0] == "passed"


def test_without_guidance_equal_images_are_no_alarm(kept):
    images = kept.images.copy()
    images.loc[images["trial"].isin([1, 2]), "digest"] = "none"
    for cfg, expected in ((0.5, "passed"), (4.0, "alarm")):
        values = dict(zip(range(5), (1.0, 1.0, cfg, 1.0, 1.0), strict=True))
        settings = kept.settings | {"merge": [], "render": {"cfg": [0.5, 1.0, 4.0]}}
        one_merge = replace(
            kept,
            parameters=("render.cfg",),
            facts=replace(kept.facts, experiment=settings),
            images=images.assign(**{"render.cfg": images["trial"].map(values)}),
            trials=kept.trials.assign(**{"render.cfg": kept.trials["trial"].map(values)}).iloc[1:3],
            checks=pd.DataFrame(),
        )
        assert state(one_merge, IMAGES)[0] == expected


def test_the_repeat_is_the_noise_floor(kept):
    checks = kept.checks.copy()
    again = checks["role"] == "repeat"
    checks.loc[again, "digest"] = "other"
    checks.loc[again, "defect"] += 0.5
    found, text = state(replace(kept, checks=checks), REPEAT)
    assert found == "passed"
    assert "0 of 6 images are the same, defects differ by 0.5 on average" in text
    assert text.endswith("too close to the best to distinguish: ratio 0.50.")
    checks.loc[again, "verdict"] = "ghost"
    assert state(replace(kept, checks=checks), REPEAT)[0] == "alarm"


def test_one_image_on_the_edge_of_a_verdict_is_no_alarm(kept):
    checks = kept.checks.copy()
    again = checks.index[checks["role"] == "repeat"]
    checks.loc[again, "digest"] = "other"
    for flips, expected in ((1, "passed"), (2, "alarm")):  # of 6; P(2 or more | 0.05) = 0.033
        checks.loc[again[:flips], "verdict"] = "ghost"
        assert state(replace(kept, checks=checks), REPEAT)[0] == expected


def test_alarms_stand_on_top_of_the_page_and_on_the_last_screen(kept):
    wrong = with_facts(kept, parents={"base": "ffff"})
    answer = analyse(wrong)
    html = report_html(wrong, answer, wrong.folder)
    assert html.index('class="alarm" role="alert"') < html.index('<dl class="facts')
    lines = last_lines(wrong, answer)
    assert (
        lines[-1] == "  ALARM   The ends are the parents? Ratio 0.00 is not base, though the recipe says so."
    )
    assert len(lines) <= 10
    assert max(map(len, lines)) <= MAX_WIDTH


def test_tables_tell_the_roles_apart(kept):
    build(kept)
    images = pd.read_csv(kept.folder / "images.csv")
    assert images["role"].value_counts().to_dict() == {"search": 26, "held_out": 12, "repeat": 6}
    trials = pd.read_csv(kept.folder / "trials.csv").set_index("trial")
    assert trials["held_out_images"].dropna().to_dict() == {2: 6, 3: 6}
    assert trials.loc[2, "held_out_survived"] == trials.loc[2, "survived"]
    best = json.loads((kept.folder / "best.json").read_text("utf-8"))
    assert [leader["held_out"]["prompts"] for leader in best["confirmed"]] == [3, 3]
    assert len(best["chances"]) == 5


def test_held_out_rows_come_last_and_only_leaders_have_pictures_there(kept):
    grid = build_grid(kept, analyse(kept))
    apart = [case.held_out for case in grid.cases]
    assert apart == [False] * 6 + [True] * 6
    drawn = {
        column.trial: sum(case.id in column.pictures for case in grid.cases if case.held_out)
        for column in grid.groups[-1].columns
    }
    assert drawn == {0: 0, 1: 0, 2: 6, 3: 6, 4: 0}
    assert report_html(kept, analyse(kept), kept.folder).count('class="apart"') == 1


def test_a_stopped_trials_empty_cells_say_why(kept):
    column = build_grid(kept, analyse(kept)).groups[-1].columns[-1]
    first, last = build_grid(kept).cases[0], build_grid(kept).cases[-1]
    assert column.why_missing(first) == ("stopped", "0 of 2 images are healthy")
    assert column.why_missing(last) == ("", "")
    assert "stopped" in column.detail[0]
    html = report_html(kept, analyse(kept), kept.folder)
    assert '<span class="hole" title="0 of 2 images are healthy">stopped</span>' in html
    assert "stopped early" in html


def test_a_repeat_is_compared_case_by_case(kept):
    checks = kept.checks[kept.checks["role"] == "repeat"].iloc[:3].copy()
    checks.loc[checks.index[1], ["digest", "verdict"]] = ["other", "ghost"]
    checks.loc[checks.index[1], "defect"] += 0.6
    images = kept.images.copy()
    lost = (images["trial"] == 3) & (images["prompt_id"] == checks["prompt_id"].iloc[2])
    images.loc[lost & (images["seed"] == checks["seed"].iloc[2]), "digest"] = None
    checks.loc[checks.index[2], "digest"] = None  # no digest is no sameness
    _, text = state(replace(kept, images=images, checks=checks), REPEAT)
    assert "1 of 3 images are the same, defects differ by 0.2 on average" in text
    assert "verdicts changed: 1" in text
    other = checks.assign(prompt_id="elsewhere")
    assert state(replace(kept, checks=other), REPEAT)[0] == "not done"


@pytest.mark.parametrize(
    ("images", "most"),
    # P(3 or more of 16 | 0.05) = 0.043 and of 2 or more 0.189; one is never enough
    [(1, 1), (2, 1), (6, 1), (7, 1), (8, 2), (16, 2), (17, 3), (100, 9)],
)
def test_a_repeat_may_change_as_many_verdicts_as_chance_would(images, most):
    def changed(count):
        return has_shifted(count, images)

    chance = [math.comb(images, k) * 0.05**k * 0.95 ** (images - k) for k in range(images + 1)]
    assert most == max(1, next((k for k in range(images + 1) if sum(chance[k + 1 :]) < 0.05), 1))
    assert not any(changed(count) for count in range(most + 1))
    assert all(changed(count) for count in range(most + 1, images + 1))
