"""Honesty checks on cases small enough to work out by hand."""

from hypothesis import given
from hypothesis import strategies as st

from gridsearch.results.analysis.identical import identical, same_weights

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
