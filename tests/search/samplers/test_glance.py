"""Single images where nothing is expected: how many, where, and what they find that no dial leads to."""

from itertools import pairwise

import pytest
from optuna.trial import TrialState, create_trial

from gridsearch.results import store
from gridsearch.search.evaluate import evaluate_trial
from gridsearch.search.racing import Racing
from gridsearch.search.samplers.axis import coarse_left, make_axis
from gridsearch.search.samplers.glance import glances, most_glances, spacing
from gridsearch.search.samplers.window import Seen
from gridsearch.search.samplers.window_sampler import seen_in
from tests.helpers.painter import ORDER, Painter, experiment, facts_of, row, searched

AXIS = make_axis(0.0, 1.0, 0.01)


@pytest.mark.parametrize(
    ("step", "cases", "apart"),
    # 101 ratios of 16 images have 1,616; 3% of these are 48 glances, more than 50 thousandths apart
    [
        (0.01, 16, 1 / 48.48),
        (0.01, 32, 0.02),
        (0.01, 8, 1 / 24.24),
        (0.05, 32, 0.05),
        (0.01, 1, float("inf")),
    ],
)
def test_glances_take_three_hundredths_of_the_grid_at_most(step, cases, apart):
    axis = make_axis(0.0, 1.0, step)
    assert spacing(axis, cases) == pytest.approx(apart)
    assert most_glances(axis, cases) <= 0.03 * len(axis.values) * cases or apart == step


def test_glances_lie_between_ratios_that_do_not_survive_until_no_gap_is_wide():
    seen = [Seen(at / 10, float(at in (3, 4)), 1.0, 1.0, at not in (3, 4)) for at in range(11)]
    while (ratio := next(glances(seen, AXIS, 50), None)) is not None:
        seen.append(Seen(ratio, 0.0, 1.0, 1.9, True))
    ratios = sorted(one.ratio for one in seen)
    assert [one for one in ratios if 0.2 < one < 0.5] == [0.3, 0.4]
    assert {round(b - a, 2) for a, b in pairwise(ratios) if b <= 0.2 or a >= 0.5} == {0.02}


@pytest.mark.parametrize(
    ("drawn", "sound", "stops"),
    [(1, 0, False), (2, 0, True), (2, 1, False), (6, 2, True), (6, 3, False), (12, 2, True), (12, 3, False)],
)
def test_a_glance_is_stopped_sooner_than_other_trials(drawn, sound, stops):
    assert Racing([f"p{i}" for i in range(16)], True, glance=2).hopeless(drawn, sound) is stops


@pytest.mark.night
def test_a_window_that_nothing_leads_to_is_found_by_one_image_each(tmp_path):
    """The first prompt fails everywhere, so a glance draws two images."""

    def paint(ratio, case):
        alive = case != ORDER[0] and (0.2 <= ratio <= 0.45 or 0.815 <= ratio <= 0.845)
        verdict = "ok" if alive else "ghost" if ratio < 0.3 else "burnt"
        return row(abs(ratio - 0.3) if alive else 6.0, case.split("_")[0], verdict, dial=9.0)

    painter = Painter(paint=paint)
    searched(tmp_path, experiment(step=0.01, sampler="window", trials=None, held_out=0), painter)
    trials = store.read_study(tmp_path).trials
    drawn = {round(one.params["ratio"], 2): store.images_of(one) for one in trials}
    sound = {
        ratio: sum(image["verdict"] == "ok" for image in images) / len(images)
        for ratio, images in drawn.items()
    }
    assert min(sound[ratio] for ratio in (0.2, 0.45, 0.82, 0.84)) >= 0.5 > max(sound[0.81], sound[0.85])
    # two steps will do beside a wide one
    assert all(two & set(drawn) for two in ({0.18, 0.19}, {0.46, 0.47}))
    whole = {ratio for ratio, images in drawn.items() if len(images) == len(ORDER)}
    assert whole & {0.82, 0.83, 0.84}
    assert min(abs(ratio - 0.3) for ratio in whole) <= 0.05
    looked = [one for one in trials if store.GLANCE in one.user_attrs]
    assert 15 <= len(looked) <= most_glances(AXIS, len(ORDER)) + len(coarse_left((), AXIS))
    assert {len(store.images_of(one)) for one in looked} <= {1, 2, 6, len(ORDER)}
    assert len(painter.drawn) == sum(map(len, drawn.values())) <= 0.3 * 101 * len(ORDER)


def test_a_ratio_that_is_looked_at_again_keeps_the_images_of_its_glance(tmp_path):
    def paint(ratio, case):
        alive = 0.25 < ratio < 0.75 and (ratio, case) != (0.5, ORDER[0])
        return row(ratio if alive else 6.0, case.split("_")[0], "ok" if alive else "burnt", dial=9.0)

    painter = Painter(paint=paint)
    searched(tmp_path, experiment(step=0.1, sampler="window", trials=None, held_out=0), painter)
    trials = store.read_study(tmp_path).trials
    at_half = [(one.state, len(store.images_of(one))) for one in trials if one.params["ratio"] == 0.5]
    assert at_half == [(TrialState.PRUNED, 1), (TrialState.COMPLETE, len(ORDER))]
    assert [case for ratio, case in painter.drawn if ratio == 0.5] == ORDER
    assert [len(store.images_of(one)) for one in trials if one.params["ratio"] in (0.0, 1.0)] == [1, 1]


@pytest.mark.parametrize(("verdict", "drawn"), [("burnt", 2), ("ok", 12)])
def test_a_glance_draws_no_more_than_it_looks_at(tmp_path, verdict, drawn):
    what = experiment(sampler="window", held_out=0)
    painter = Painter(paint=lambda _, case: row(1.0, case.split("_")[0], verdict))
    store.write_study(tmp_path, facts_of(what))
    with store.open_study(tmp_path) as study:
        trial = study.ask()
        trial.set_user_attr(store.GLANCE, 2)
        evaluate_trial(study, trial, what, ORDER, painter)
        assert [case for _, case in painter.drawn] == ORDER[:drawn]
        assert store.batch_count(study.trials[0]) == (1 if drawn == 2 else 4)  # of 2, 4, 4 and 2


@pytest.mark.parametrize(("side", "dial"), [({"side": -1.0}, -1.0), ({"side": 0.0}, 2.5), ({}, 2.5)])
def test_what_failed_images_are_tells_the_side_whatever_the_dial_says(side, dial):
    found = {"survived": 0.0, "dial": 2.5, "loss": 1.9, "partial": True} | side
    trial = create_trial(state=TrialState.PRUNED, user_attrs={store.SUMMARY: found})
    assert seen_in(trial, 0.2).dial == dial
