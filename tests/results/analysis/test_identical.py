"""Honesty checks on cases small enough to work out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.results.analysis.identical import Repeat, identical, repeat, same_weights

CASES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"))


def test_pairs_are_those_whose_every_common_image_is_the_same():
    digests = {
        3: {"p1 1": "aa", "p2 1": "bb"},
        1: {"p1 1": "aa", "p2 1": "cc"},  # shares one image with 3, not the other
        2: {"p1 1": "aa"},  # stopped: all it has is the same as in 1 and in 3
        4: {"p3 1": "dd"},  # has no case in common with any
    }
    assert identical(digests) == [(1, 2), (2, 3)]


@given(st.dictionaries(st.integers(0, 6), CASES, max_size=6))
def test_the_same_pairs_as_comparing_all_with_all(digests):
    trials = sorted(digests)
    expected = [
        (a, b)
        for i, a in enumerate(trials)
        for b in trials[i + 1 :]
        if (common := digests[a].keys() & digests[b].keys())
        and all(digests[a][case] == digests[b][case] for case in common)
    ]
    assert identical(digests) == expected


def test_equal_weights_are_wrong_only_where_the_merges_differ():
    weights = {0: "aa", 1: "bb", 2: "aa", 3: "bb"}
    assert same_weights(weights, {0: "base", 1: 0.5, 2: "base", 3: 0.6}) == [(1, 3)]


def test_a_repeat_is_compared_case_by_case():
    first = {"a": ("11", "ok", 1.0), "b": ("22", "ok", 2.0), "c": (None, "ok", 0.0), "d": ("44", "ok", 9.0)}
    again = {"a": ("11", "ok", 1.0), "b": ("23", "ghost", 2.6), "c": (None, "ok", 0.0)}
    found = repeat(first, again)
    assert (found.images, found.identical, found.verdicts) == (3, 1, 2)  # no digest is no sameness
    assert found.floor == pytest.approx(0.2)
    assert repeat(first, {"z": ("11", "ok", 1.0)}) is None


@pytest.mark.parametrize(
    ("images", "most"),
    # P(3 or more of 16 | 0.05) = 0.043 and of 2 or more 0.189; one is never enough
    [(1, 1), (2, 1), (6, 1), (7, 1), (8, 2), (16, 2), (17, 3), (100, 9)],
)
def test_a_repeat_may_change_as_many_verdicts_as_chance_would(images, most):
    def changed(count):
        return Repeat(images, 0, images - count, 0.1).changes_more_than(0.05, 0.05)

    chance = [math.comb(images, k) * 0.05**k * 0.95 ** (images - k) for k in range(images + 1)]
    assert most == max(1, next((k for k in range(images + 1) if sum(chance[k + 1 :]) < 0.05), 1))
    assert not any(changed(count) for count in range(most + 1))
    assert all(changed(count) for count in range(most + 1, images + 1))
