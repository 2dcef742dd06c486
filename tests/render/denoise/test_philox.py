"""CUDA's random numbers, computed here."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gridsearch.render.denoise.noise import CudaRandn, box_muller, philox

# Known answers of Random123 (D. E. Shaw Research), tests/kat_vectors: counter, key, result.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_the_generator_gives_its_published_answers(counter, key, result):
    low, high = words(key)
    counters = tuple(np.array([word], dtype=np.uint32) for word in words(counter))
    assert [int(word[0]) for word in philox(counters, low | high << 32)] == words(result)


def test_the_numbers_of_seed_0_are_those_known():
    # as web UIs print them for the source "NV"; torch on CUDA gives the same to four places
    wanted = [
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
        [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
        [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
    ]
    drawn = CudaRandn(0).draw((3, 4))
    assert drawn.dtype == torch.float32
    torch.testing.assert_close(drawn, torch.tensor(wanted), atol=1e-6, rtol=0)


def test_the_numbers_are_normal():
    drawn = CudaRandn(2026).draw((100_000,)).double().numpy()
    assert abs(drawn.mean()) < 0.01  # three standard errors
    assert abs(drawn.std() - 1) < 0.007
    assert stats.kstest(drawn, "norm").pvalue > 0.01


def test_calls_and_seeds_are_independent():
    one = CudaRandn(1)
    draws = [one.draw((50_000,)), one.draw((50_000,)), CudaRandn(2).draw((50_000,))]
    correlations = torch.corrcoef(torch.stack(draws)) - torch.eye(3)
    assert correlations.abs().max() < 0.015
    assert not torch.equal(draws[0], draws[1])


@given(st.integers(0, 2**64 - 1), st.integers(1, 300), st.integers(0, 3))
def test_a_number_depends_on_seed_call_and_place_alone(seed, size, earlier):
    first, second = CudaRandn(seed), CudaRandn(seed)
    for _ in range(earlier):
        first.draw((7,))
        second.draw((2, 3))
    long, short = first.draw((size + 1,)), second.draw((1, size))
    assert torch.equal(long[:-1], short.flatten())
    assert long.isfinite().all()


def test_the_ends_of_the_words_are_finite():
    words = np.array([0, 1, 2**31, 2**32 - 1], dtype=np.uint32)
    assert np.isfinite(box_muller(words, words[::-1])).all()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed):
    with pytest.raises(ValueError, match="64 bits"):
        CudaRandn(seed)


def test_an_empty_shape_draws_one_number_and_no_elements_draw_none():
    assert CudaRandn(0).draw(()).shape == ()
    assert CudaRandn(0).draw((0, 4)).shape == (0, 4)
