"""The grid: every point once, coarse before fine."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gridsearch.search.space import coarse_to_fine


def test_the_ends_come_first_then_the_middle_then_the_quarters():
    assert coarse_to_fine([0, 1, 2, 3, 4, 5, 6, 7, 8]) == [0, 8, 4, 2, 6, 1, 3, 5, 7]


@given(st.integers(1, 200))
def test_every_value_comes_once(count):
    assert sorted(coarse_to_fine(range(count))) == list(range(count))


@given(st.integers(3, 100), st.data())
def test_no_gap_is_more_than_twice_another(count, data):
    seen = sorted(coarse_to_fine(range(count))[: data.draw(st.integers(2, count))])
    gaps = [b - a for a, b in itertools.pairwise(seen)]
    assert max(gaps) <= 2 * min(gaps) + 1
