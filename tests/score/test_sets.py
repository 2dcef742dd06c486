"""Distances between sets of pictures: the papers' formula by hand, and what a distance must hold."""

from math import isnan

import numpy as np
import pytest

from gridsearch.score.sets import likeness, packed, set_distance, unpacked

RNG = np.random.default_rng(0)


def directions(count, size=24, towards=0.0):
    """Random features of length 1, all of them more or less in one direction."""
    found = RNG.normal(size=(count, size)) + towards
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_it_is_the_unbiased_estimate_with_the_cubic_kernel_of_the_kernel_inception_distance():
    """Binkowski et al. 2018, lemma 2 and section 4, one pair after the other, features of length √D."""
    x, y = directions(5), directions(7, towards=0.5)
    size = x.shape[1]

    def kernel(a, b):
        return float(((a * size**0.5) @ (b * size**0.5) / size + 1) ** 3)

    within_x = sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    within_y = sum(kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    between = sum(kernel(a, b) for a in x for b in y) / (5 * 7)
    assert set_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)


def test_two_sets_of_one_kind_are_no_distance_apart_on_average():
    same = [set_distance(directions(6, towards=0.3), directions(8, towards=0.3)) for _ in range(400)]
    other = [set_distance(directions(6, towards=0.3), directions(8, towards=0.6)) for _ in range(400)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20  # the biased estimate is 1.9
    assert np.mean(other) > 10 * np.std(same) / 20
    assert isnan(set_distance(directions(1), directions(8)))


def test_likeness_is_the_mean_cosine():
    one, others = np.array([1.0, 0.0]), np.array([[0.6, 0.8], [0.0, 1.0]])
    assert likeness(one, others) == pytest.approx(0.3)
    assert isnan(likeness(one, others[:0]))


@pytest.mark.parametrize("text", ["", "no base64", "AAA=", "AAAA", packed(np.full(4, np.inf))])
def test_features_are_stored_in_two_bytes_each_and_damaged_ones_are_none(text):
    own = directions(1)[0]
    assert unpacked(packed(own)) == pytest.approx(own, abs=2e-4)
    assert len(packed(own)) == 24 * 2 * 4 / 3
    assert unpacked(text) is None
