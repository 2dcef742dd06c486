"""Ratios beyond an edge: by hand where they lie, and that they end once half of all prompts surely fail."""

import math

import pytest
from scipy.stats import binom

from gridsearch.search.samplers.axis import make_axis
from gridsearch.search.samplers.certain import beyond_edges, surely_dead
from gridsearch.search.samplers.window import Seen

AXIS = make_axis(0.0, 1.0, 0.01)


def seen(ratio: float, survived: float, prompts: int = 16, glanced: bool = False) -> Seen:
    return Seen(ratio, survived, 1.0, 1.9 - survived, prompts < 16, glanced, prompts)


ALIVE = [seen(0.4, 0.9), seen(0.5, 1.0), seen(0.6, 0.8)]  # 0.2 wide: a quarter of it is 0.05
ENDS = [seen(0.0, 0.0, 1, True), seen(1.0, 0.0, 1, True)]
EDGES = [seen(0.39, 0.25, 12), seen(0.61, 0.25, 12)]  # 3 of 12: a chance of 0.073, which is not sure


@pytest.mark.parametrize(("sound", "prompts"), [(0, 5), (0, 6), (1, 8), (1, 9), (2, 11), (2, 12), (3, 16)])
def test_half_of_all_prompts_surely_fail_by_the_binomial_test(sound, prompts):
    assert surely_dead(seen(0.3, sound / prompts, prompts)) == (binom.cdf(sound, prompts, 0.5) <= 0.025)


def test_a_quarter_of_the_width_beyond_each_edge_is_drawn_then_twice_as_far():
    known = [*ALIVE, *ENDS, *EDGES]
    assert [*beyond_edges(known, AXIS)] == [0.34, 0.66]
    assert [*beyond_edges([*known, Seen(0.34)], AXIS)] == [0.66]  # the other is at work
    known.append(seen(0.34, 0.25, 12))  # not sure either
    assert [*beyond_edges([*known, seen(0.66, 0.0, 6)], AXIS)] == [0.29]
    assert [*beyond_edges([*known, seen(0.66, 0.0, 6), seen(0.29, 0.0, 6)], AXIS)] == []


def test_an_edge_that_is_sure_itself_is_left_and_an_end_is_the_last():
    sure = [seen(0.39, 0.1, 16), seen(0.61, 0.1, 16)]
    assert [*beyond_edges([*ALIVE, *ENDS, *sure], AXIS)] == []
    near = [seen(0.03, 0.9), seen(0.5, 1.0), seen(0.97, 0.8), *ENDS]
    assert [*beyond_edges([*near, seen(0.02, 0.25, 12), seen(0.98, 0.25, 12)], AXIS)] == [0.0, 1.0]


def test_it_ends_before_another_window_and_with_fewer_than_six_prompts():
    other = [seen(0.62, 0.9), seen(0.7, 0.8)]
    left = [*beyond_edges([*ALIVE, *ENDS, *EDGES, *other], AXIS)]
    assert left == [0.34]
    few = [Seen(one.ratio, one.survived, 1.0, one.loss, prompts=min(one.prompts, 5)) for one in ALIVE]
    assert [*beyond_edges([*few, *EDGES], AXIS)] == []
    assert [*beyond_edges([seen(0.5, 0.2), Seen(0.6, math.nan)], AXIS)] == []
