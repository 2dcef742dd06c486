"""The methods on singular values, against what defines them, in float64."""

import numpy as np
import pytest
import torch

from gridsearch.base.errors import RunFailed
from tests.helpers.methods import WHOLE
from tests.helpers.tensors import close, tensors

MATRICES = ((30, 20), (20, 30), (8, 4, 1, 1), (8, 4, 3, 3), (1, 5), (5, 1))


def matrix(one: torch.Tensor) -> np.ndarray:
    """A row for each output channel."""
    return one.double().numpy().reshape(len(one), -1)


def root_inverse(symmetric: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(symmetric)
    return vectors / np.sqrt(values) @ vectors.T


@pytest.mark.parametrize("shape", MATRICES)
def test_isotropic_makes_all_singular_values_their_mean(shape):
    """Marczak et al. 2025, Iso-C; the factor without singular values is the polar one, A (A'A)^(-1/2)."""
    a, *others = tensors(shape, 4)
    total = sum(matrix(other) - matrix(a) for other in others)
    tall = total if total.shape[0] >= total.shape[1] else total.T
    polar = tall @ root_inverse(tall.T @ tall)
    iso = np.linalg.svd(total, compute_uv=False).mean() * (polar if tall is total else polar.T)
    expected = matrix(a) + 0.7 * iso
    np.testing.assert_allclose(
        matrix(WHOLE["isotropic"](a, *others, ratio=0.7)), expected, rtol=1e-4, atol=2e-5
    )


def test_isotropic_averages_vectors():
    a, b, c = tensors((17,), 3)
    expected = a.double() + 0.7 * ((b - a).double() + (c - a).double()) / 2
    close(WHOLE["isotropic"](a, b, c, ratio=0.7), expected.numpy())


def test_isotropic_adds_no_direction_that_the_difference_does_not_have():
    """A LoRA's change has few: what rounding makes of the others is not raised to their mean."""
    a = torch.zeros(30, 20)
    up, down = tensors((30, 2), 1)[0], tensors((2, 20), 1, seed=1)[0]
    added = matrix(WHOLE["isotropic"](a, up @ down, ratio=1.0))
    values = np.linalg.svd(added, compute_uv=False)
    expected = np.linalg.svd(matrix(up @ down), compute_uv=False)[:2].mean()
    np.testing.assert_allclose(values[:2], expected, rtol=1e-5)
    assert values[2:].max() < 1e-5 * expected


@pytest.mark.parametrize("shape", MATRICES[:4])
@pytest.mark.parametrize("rank", [1, 3])
def test_a_low_rank_difference_is_the_nearest_of_its_rank(shape, rank):
    """Eckart & Young 1936: its distance is the norm of the singular values left out."""
    a, b = tensors(shape, 2)
    added = matrix(WHOLE["low_rank"](a, b, ratio=0.5, rank=rank)) - matrix(a)
    whole = matrix(b) - matrix(a)
    values = np.linalg.svd(whole, compute_uv=False)
    assert np.linalg.matrix_rank(added, tol=1e-4) == rank
    left_out = np.sqrt((values[rank:] ** 2).sum())
    assert np.linalg.norm(whole - 2 * added) == pytest.approx(left_out, rel=1e-5)


@pytest.mark.parametrize("shape", [*MATRICES, (17,), (1,), ()])
def test_a_rank_that_a_difference_cannot_exceed_is_all_of_it(shape):
    a, b = tensors(shape, 2)
    torch.testing.assert_close(WHOLE["low_rank"](a, b, ratio=1.0, rank=64), b)


def test_a_difference_that_overflowed_fails_in_words():
    a = torch.zeros(3, 3)
    with pytest.raises(RunFailed, match="no singular values"):
        WHOLE["low_rank"](a, a + torch.inf, ratio=1.0, rank=1)
