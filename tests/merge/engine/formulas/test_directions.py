"""The methods that are sums with coefficients from inner products, against what defines them, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import RunFailed
from gridsearch.merge.engine.formulas.products import products
from gridsearch.merge.engine.linear import CPU_PIECE
from gridsearch.merge.engine.methods import SUMS
from tests.helpers.methods import WHOLE
from tests.helpers.tensors import SHAPES, close, row, tensors

WEIGHTS = (0.5, 1.5, 2.0)


def spread(shape: tuple[int, ...], count: int, seed: int = 0) -> list[torch.Tensor]:
    """Models about a common one, of several lengths."""
    common, *own = tensors(shape, count + 1, seed)
    return [(common + 0.8 * one) * (1 + 0.5 * i) for i, one in enumerate(own)]


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def flat(one: torch.Tensor) -> np.ndarray:
    return one.double().numpy().ravel()


def pull(mean: np.ndarray, models: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The sum of the arrows along the sphere from a mean to the models: zero at the Karcher mean."""
    total = np.zeros_like(mean)
    for model, weight in zip(models, weights, strict=True):
        cosine = mean @ unit(model)
        across = unit(model) - cosine * mean
        total += weight * np.arctan2(np.linalg.norm(across), cosine) * unit(across)
    return total


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_karcher_mean_is_pulled_to_no_side(shape, weights):
    models = spread(shape, 3)
    mean = flat(WHOLE["karcher"](*models, **({} if weights is None else {"weights": weights})))
    shares = np.array(weights or (1, 1, 1)) / sum(weights or (1, 1, 1))
    vectors = [flat(one) for one in models]
    assert np.linalg.norm(pull(unit(mean), vectors, shares)) < 1e-6
    lengths = [np.linalg.norm(one) for one in vectors]
    assert np.linalg.norm(mean) == pytest.approx(shares @ lengths, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_of_two_models_the_karcher_mean_is_slerp(shape):
    a, b = tensors(shape, 2)
    merged = WHOLE["karcher"](a, b, weights=(0.7, 0.3))
    torch.testing.assert_close(merged, WHOLE["slerp"](a, b, ratio=0.3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_multislerp_is_mergekits(shape, weights):
    """Goddard 2025: to the tangent space at the mean of the directions, the mean there, and back."""
    models = spread(shape, 3)
    shares = np.array(weights or (1, 1, 1)) / sum(weights or (1, 1, 1))
    vectors = np.stack([flat(one) for one in models])
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors / lengths[:, None]
    mean = unit(shares @ units)
    tangent = shares @ (units - (units @ mean)[:, None] * mean)
    angle = np.linalg.norm(tangent) + 1e-8
    expected = (mean * np.cos(angle) + tangent * np.sin(angle) / angle) * (shares @ lengths)
    merged = WHOLE["multislerp"](*models, **({} if weights is None else {"weights": weights}))
    close(merged, expected.reshape(shape))


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_what_is_added_is_perpendicular_to_the_first_difference(shape):
    models = tensors(shape, 3)
    a, b, c = map(flat, models)
    added = (flat(WHOLE["add_perpendicular"](*models, ratio=0.7)) - a) / 0.7
    assert abs(unit(added) @ unit(a - c)) < 1e-5
    rest = b - c - added  # what was left out goes along the first difference
    assert abs(unit(rest) @ unit(a - c)) == pytest.approx(1, abs=1e-5)


def test_perpendicular_by_hand():
    a, b, c = row(3, 1), row(6, 5), row(1, 1)  # a - c = (2, 0), b - c = (5, 4)
    assert WHOLE["add_perpendicular"](a, b, c, ratio=0.5).tolist() == [3, 3]
    assert torch.equal(WHOLE["add_perpendicular"](c, b, c, ratio=0.5), c)


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(1e-4, 2))
def test_the_mean_of_directions_has_the_mean_length(seed, count, scale):
    """Of near models, as checkpoints are, and of far ones."""
    common, *own = tensors((6, 5), count + 1, seed)
    models = [common + scale * one for one in own]
    lengths = [np.linalg.norm(flat(one)) for one in models]
    for method in ("karcher", "multislerp"):
        merged = flat(WHOLE[method](*models))
        assert np.linalg.norm(merged) == pytest.approx(np.mean(lengths), rel=1e-5)


def test_of_near_models_the_karcher_mean_is_nearly_the_average():
    common, *own = tensors((40, 30), 4)
    models = [common + 1e-3 * one for one in own]
    assert torch.dist(WHOLE["karcher"](*models), sum(models) / 3) < 1e-6 * common.norm()


@pytest.mark.parametrize("method", ["karcher", "multislerp"])
def test_models_without_a_direction(method):
    a, zero = row(3, 4), torch.zeros(2)
    merged = WHOLE[method]
    torch.testing.assert_close(merged(a, zero), a / 2)  # the direction of a, half its length
    torch.testing.assert_close(merged(a, -a), zero)  # they cancel: as in an average
    torch.testing.assert_close(merged(a, -a, weights=(3, 1)), a)  # a's direction, their length
    torch.testing.assert_close(merged(zero, a, weights=(1, 0)), zero)
    assert torch.equal(merged(zero, zero), zero)
    with pytest.raises(RunFailed, match="weights of a step are zero"):
        merged(a, a, weights=(0, 0))


def test_products_are_summed_over_pieces():
    models = tensors((2, CPU_PIECE // 2 + 1000), 3)
    vectors = np.stack([flat(one) for one in models])
    gram = vectors @ vectors.T
    np.testing.assert_allclose(products(models).gram(), gram, atol=1e-5 * gram.max())


def test_products_of_near_models_have_the_bits_of_their_differences():
    common, *own = tensors((400, 300), 3)
    models = [common, *((common.double() + 1e-4 * one).float() for one in own)]
    vectors = [flat(one) for one in models]
    apart = [vectors[1] - vectors[0], vectors[2] - vectors[0]]
    known = products(models)
    np.testing.assert_allclose(known.between, [[x @ y for x in apart] for y in apart], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(known.along, [x @ vectors[0] for x in apart], atol=1e-3)


@pytest.mark.parametrize("method", SUMS)
def test_a_merge_is_the_sum_with_the_factors_of_its_models(method):
    models = spread((30, 20), 2 if method == "slerp" else 3)
    numbers = {"slerp": {"ratio": 0.7}, "add_perpendicular": {"ratio": 0.7}, "model_stock": {"ratio": 0.7}}
    own = numbers.get(method, {} if method == "geometric_median" else {"weights": WEIGHTS})
    vectors = np.stack([flat(one) for one in models])
    factors = SUMS[method](products(models), **own)
    whole = own | ({"cosine": "tensor"} if method == "model_stock" else {})
    close(WHOLE[method](*models, **whole), (np.array(factors) @ vectors).reshape(30, 20))


@pytest.mark.parametrize("method", ["karcher", "multislerp"])
@pytest.mark.parametrize("smaller", [1e-3, 1e-5, 1e-7])
def test_a_model_that_is_much_smaller_than_the_first_makes_no_nan(method, smaller):
    """Its own square is the sum of three large products, which rounding may leave below zero."""
    for seed in range(20):
        a, b = tensors((40, 30), 2, seed)
        assert WHOLE[method](a, b * smaller).isfinite().all()
