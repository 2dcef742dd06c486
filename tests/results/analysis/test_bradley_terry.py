"""A person's preferences as strengths: known answers, no matter who is called what, and how sure that is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.report.page.html import report_html
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.analysis.bradley_terry import ANSWERS, fit, human_verdict, preferences


def judgements(*said: tuple) -> pd.DataFrame:
    """(first, second, answer) each, or with a number of times."""
    rows = [one[:3] for one in said for _ in range(one[3] if len(one) > 3 else 1)]
    common = {"prompt_id": "p1", "seed": 1, "time": "2026-01-01T08:00:00+01:00", "session": 7}
    return pd.DataFrame([dict(zip(("first", "second", "answer"), row, strict=True)) | common for row in rows])


@pytest.mark.parametrize(("wins", "losses", "ties"), [(12, 8, 0), (3, 1, 0), (9, 4, 7)])
def test_two_trials_differ_by_the_log_of_wins_over_losses(wins, losses, ties):
    """Bradley and Terry's estimate; with Davidson's ties it is the same."""
    said = judgements((4, 2, "first", wins), (4, 2, "second", losses), (4, 2, "equal", ties))
    best, other = preferences(said, prior=np.inf)
    assert best.strength - other.strength == pytest.approx(np.log(wins / losses))
    assert (best.trial, best.wins, best.losses, best.ties) == (4, wins, losses, ties)
    if not ties:  # each strength is half of the log-odds, whose variance is 1/w + 1/l
        assert best.high - best.strength == pytest.approx(1.96 * np.sqrt(1 / wins + 1 / losses) / 2, rel=1e-3)


def test_one_who_wins_every_pair_has_a_finite_strength_that_grows_with_the_pairs():
    few, many = (preferences(judgements((1, 2, "first", count)))[0] for count in (2, 20))
    assert few.trial == many.trial == 1
    assert 0 < few.strength < many.strength < 2
    assert 0.5 < few.chance < many.chance < 1
    found = preferences(judgements((1, 2, "equal", 5)))
    assert [one.strength for one in found] == pytest.approx([0] * len(found), abs=1e-9)


couple = st.sampled_from([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)])
answers = st.lists(st.tuples(couple, st.integers(0, 2)), min_size=1, max_size=30)


@settings(max_examples=25)
@given(answers, st.permutations(range(4)))
def test_it_matters_not_who_is_called_what_and_stands_where(said, names):
    first, second = (np.array([pair[side] for pair, _ in said]) for side in (0, 1))
    answer = np.array([answer for _, answer in said])
    strengths, covariance = fit(first, second, answer, 4)
    names = np.array(names)
    turned = np.array([1, 0, 2])[answer]
    again, covariance_again = fit(names[second], names[first], turned, 4)
    np.testing.assert_allclose(again[names], strengths, atol=1e-7)
    np.testing.assert_allclose(covariance_again[np.ix_(names, names)], covariance, atol=1e-7)
    assert abs(strengths.sum()) < 1e-9


@pytest.mark.night
def test_intervals_hold_the_truth_as_often_as_they_say():
    """150 people of known taste judge 40 pairs of five trials, and call some equal."""
    rng = np.random.default_rng(5)
    couples = np.array([(i, j) for i in range(5) for j in range(i)] * 4)
    inside, chances, hits = [], [], []
    for _ in range(150):
        truth = rng.normal(size=5)
        equal = truth[couples].mean(axis=1) - 0.5
        logits = np.column_stack([truth[couples], equal])
        answer = (logits + rng.gumbel(size=logits.shape)).argmax(
            axis=1
        )  # each in proportion to its exponential
        said = [(*map(int, pair), ANSWERS[a]) for pair, a in zip(couples, answer, strict=True)]
        found = preferences(judgements(*said))
        centred = truth - truth.mean()
        inside += [one.low <= centred[one.trial] <= one.high for one in found]
        chances.append(found[0].chance)
        hits.append(found[0].trial == truth.argmax())
    assert 0.92 <= np.mean(inside) <= 0.98
    assert abs(np.mean(hits) - np.mean(chances)) < 0.08


@pytest.mark.parametrize(
    ("said", "tied", "winner", "note"),
    [
        ([(1, 2, "first", 3), (2, 1, "first", 1)], {2}, 1, ""),
        ([(1, 2, "second", 5), (2, 1, "second", 1)], {2}, 2, ""),
        ([(1, 2, "second", 1)], {2}, None, "No trial is liked best with 80% certainty"),
        ([(1, 2, "equal", 3)], {2}, None, "another trial as much"),
        ([(1, 3, "second", 3)], {2}, None, "ties with the best one, so"),
        ([(2, 3, "second", 3)], {2, 3}, None, "was not among your pairs"),
        ([(1, 2, "first", 6), (2, 1, "first", 6)], {2}, None, "left image in 12 of 12"),
        ([(2, 1, "first", 9), (1, 3, "first", 2)], {2, 3}, 2, ""),
    ],
)
def test_the_person_decides_among_tied_leaders_alone(said, tied, winner, note):
    human = human_verdict(judgements(*said), 1, tied)
    assert human.winner == winner
    assert note in human.note


def test_no_judgement_is_no_verdict():
    assert human_verdict(pd.DataFrame(), 1, {2}) is None


def test_the_recommendation_follows_the_person(sweep):
    before = analyse(sweep)
    assert before.human is None
    assert before.tied, "this run has leaders that tie"
    liked, metrics = before.tied[0], before.best.trial
    five, two = (liked, metrics, "first", 5), (metrics, liked, "first", 2)
    said = judgements(five, two, (liked, metrics, "equal", 1))
    results = replace(sweep, judgements=said)
    after = analyse(results)
    assert after.best.trial == liked
    assert set(after.tied) == {metrics, *before.tied} - {liked}
    assert after.parameters == {"ratio": after.best.ratio}
    assert after.best.interval.low <= after.best.ratio <= after.best.interval.high
    assert after.sentence.startswith(f"Take ratio {after.best.ratio:.2f} (")
    assert "You preferred it in 5 of its 8 blind pairs, with 1 tie" in after.sentence

    found = best_dict(results, after)
    assert found["trial"] == found["human"]["winner"] == liked
    assert found["human"]["instead_of"] == metrics
    assert found["human"]["pairs"] == 8
    assert found["human"]["trials"][0]["name"] == f"ratio {after.best.ratio:.2f}"
    page = report_html(results, after, sweep.folder)
    assert "What you preferred" in page
    assert "What you preferred" not in report_html(sweep, before, sweep.folder)


def test_a_person_may_prefer_another_curve(modes):
    """What ties may lie in the other prediction type; its curve then comes first."""
    before = analyse(modes)
    modes_of = modes.trials.set_index("trial")["render.prediction_type"]
    mode = modes_of[before.best.trial]
    liked = next(trial for trial in before.tied if modes_of[trial] != mode)
    after = analyse(replace(modes, judgements=judgements((liked, before.best.trial, "first", 3))))
    assert (after.best.trial, after.best.settings) == (liked, {"render.prediction_type": modes_of[liked]})
    assert [one.settings for one in after.slices[1:]] == [before.best.settings]
