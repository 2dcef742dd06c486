"""How far a plug-in's value lies beyond the references' on its worse side."""

from math import exp, log, log1p, nan

import pytest

from gridsearch.score.band import POPULATION
from gridsearch.score.score import DEFECT_CAP, FAILED, OK_CAP, score
from gridsearch.score.scorers.plugins import MOST_BEYOND, beyond, edge_of
from tests.helpers.pictures import gained, scene

WORST = 1000 * MOST_BEYOND  # of the largest weight


def limit(edge):
    """What an edge is, so that its numbers can be compared approximately."""
    return (edge.value, edge.spread), edge.direction


def test_the_edge_is_one_spread_to_the_worse_side_of_the_median():
    values = [1.0, 2.0, 3.0, 2.0]  # median 2, variance 1/2
    assert limit(edge_of(values, nan, "lower")) == (pytest.approx((2 + 0.5**0.5, 0.5**0.5)), "lower")
    assert limit(edge_of(values, nan, "higher")) == (pytest.approx((2 - 0.5**0.5, 0.5**0.5)), "higher")


def test_distance_counts_in_spreads_on_the_worse_side_alone():
    edge = edge_of([1.0, 3.0], nan, "lower")  # median 2, spread 1
    assert [beyond(value, edge) for value in (-100, 2, 3, 4, 5.5)] == pytest.approx([0, 0, 0, 1, 2.5])
    edge = edge_of([1.0, 3.0], nan, "higher")
    assert [beyond(value, edge) for value in (100, 2, 1, 0, -1.5)] == pytest.approx([0, 0, 0, 1, 2.5])


def test_the_own_reference_moves_the_middle_half_way_and_is_healthy_itself():
    assert limit(edge_of([1.0, 3.0], 2.5, "lower")) == (pytest.approx((3.25, 1.0)), "lower")
    for direction in ("lower", "higher"):
        for own in (-50.0, 0.0, 50.0):
            assert beyond(own, edge_of([1.0, 3.0], own, direction)) == 0


def test_a_few_references_that_agree_leave_a_tenth_of_their_value_as_the_spread():
    assert limit(edge_of([2.0], nan, "lower")) == (pytest.approx((2.2, 0.2)), "lower")
    assert limit(edge_of([2.0, nan, 2.0], nan, "higher")) == (pytest.approx((1.8, 0.2)), "higher")


@pytest.mark.parametrize("references", [[], [nan, nan], [0.0], [0.0, 0.0]])
def test_without_anything_to_measure_by_there_is_no_edge(references):
    assert edge_of(references, nan, "lower") is None
    assert beyond(1.0, None) == 0


def test_what_is_undefined_adds_nothing_and_what_is_far_is_capped():
    edge = edge_of([1.0, 3.0], nan, "lower")
    assert beyond(nan, edge) == 0
    assert beyond(1e100, edge) == MOST_BEYOND
    assert beyond(0.0, edge_of([1e100, -1e100], nan, "lower")) == 0


def test_where_better_counts_too_the_distance_is_a_soft_hinge():
    edge = edge_of([1.0, 3.0], nan, "higher")  # median 2, spread 1, limit 1
    found = [beyond(value, edge, one_sided=False) for value in (1, 3, 100, -4)]
    assert found == pytest.approx([log(2), log1p(exp(-2)), 0, 5 + log1p(exp(-5))])
    assert beyond(nan, edge, one_sided=False) == 0
    assert beyond(-1e9, edge, one_sided=False) == MOST_BEYOND


@pytest.mark.parametrize(
    ("picture", "verdict"), [(scene(128, 20), "ok"), (gained(scene(128, 20), 0.02), "blank")]
)
def test_what_lies_beyond_adds_to_the_defect_and_never_overrules_a_verdict(picture, verdict):
    scores = [score(picture, POPULATION, beyond=far) for far in (0.0, 0.5, 1.0, 5.0, WORST)]
    assert {scored.verdict for scored in scores} == {verdict}
    defects = [scored.defect for scored in scores]
    assert defects == sorted(set(defects))
    floor, cap = (0, OK_CAP) if verdict == "ok" else (FAILED, DEFECT_CAP)
    assert floor <= defects[0]
    assert defects[-1] < cap


def test_a_weight_of_one_counts_as_one_of_the_own_metrics():
    picture = scene(128, 20)
    assert score(picture, POPULATION).defect == 0
    assert score(picture, POPULATION, beyond=2.0).defect == pytest.approx(OK_CAP * 2 / (OK_CAP + 2))
