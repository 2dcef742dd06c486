"""The methods that work value by value or row by row, on numbers worked out by hand and by plain loops."""

import numpy as np
import pytest
import torch
from sd_mecha.extensions import merge_methods

from tests.helpers.methods import WHOLE
from tests.helpers.tensors import SHAPES, close, row, tensors


def test_nearswap_by_hand():
    a, b = row(0, 0, 0, 1), row(0.5, -3, 1, 1)
    assert WHOLE["nearswap"](a, b, ratio=1.0, threshold=1.0).tolist() == [0.5, -1, 1, 1]
    assert WHOLE["nearswap"](a, b, ratio=0.5, threshold=1.0).tolist() == [0.25, -0.5, 0.5, 1]
    assert torch.equal(WHOLE["nearswap"](a, b, ratio=1.0, threshold=0.0), a)
    assert torch.equal(WHOLE["nearswap"](a, b, ratio=1.0, threshold=3.0), b)


@pytest.mark.parametrize("shape", SHAPES)
def test_nearswap_is_alchemonauts(shape):
    """The weight of b is threshold / |a - b|, 1 at most."""
    a, b = tensors(shape, 2)
    x, y = a.double().numpy(), b.double().numpy()
    weight = np.minimum(0.3 / np.abs(x - y), 1)
    close(WHOLE["nearswap"](a, b, ratio=1.0, threshold=0.3), weight * y + (1 - weight) * x)


# -- clamp


def test_clamp_by_hand():
    a, bounds = row(-1, 0.5, 9, 2), (row(0, 0, 0, 3), row(1, 1, 1, 3), row(4, 1, 2, 3))
    assert WHOLE["clamp"](a, *bounds, stiffness=0.0).tolist() == [0, 0.5, 2, 3]
    # means 5/3, 2/3, 1, 3: the limits next to them are 1-4, 0-1, 1-1, 3-3
    assert WHOLE["clamp"](a, *bounds, stiffness=1.0).tolist() == [1, 0.5, 1, 3]
    assert WHOLE["clamp"](a, *bounds, stiffness=0.5).tolist() == [0.5, 0.5, 1.5, 3]


@pytest.mark.parametrize("shape", [*SHAPES, ()])
@pytest.mark.parametrize("stiffness", [0.0, 0.3, 1.0])
def test_clamp_is_sd_mechas(shape, stiffness):
    models = tensors(shape, 5)
    theirs = merge_methods.resolve("clamp").__wrapped__(*models, stiffness=stiffness)
    torch.testing.assert_close(WHOLE["clamp"](*models, stiffness=stiffness), theirs)


# -- exchange

REGIONS = [(0.3, 0.2), (0.5, 0.8), (0.0, 0.5), (1.0, 0.0), (1.0, 0.3), (0.25, 1.0), (0.7, 0.3)]
ROWS = {(0.3, 0.2): [2, 3, 4], (0.5, 0.8): [8, 9, 0, 1, 2], (0.0, 0.5): [], (0.25, 1.0): [0, 1]}


@pytest.mark.parametrize(("ratio", "offset"), ROWS)
def test_tensor_sum_takes_rows(ratio, offset):
    a, b = torch.zeros(10, 3), torch.ones(10, 3)
    merged = WHOLE["tensor_sum"](a, b, ratio=ratio, offset=offset)
    assert sorted(ROWS[ratio, offset]) == merged[:, 0].nonzero().flatten().tolist()
    assert torch.equal(merged[:, 0], merged[:, 2])
    assert not a.any()  # not written over


@pytest.mark.parametrize("shape", [*SHAPES, ()])
@pytest.mark.parametrize(("ratio", "offset"), REGIONS)
def test_tensor_sum_is_sd_mechas(shape, ratio, offset):
    a, b = tensors(shape, 2)
    theirs = merge_methods.resolve("tensor_sum").__wrapped__(a.clone(), b.clone(), width=ratio, offset=offset)
    assert torch.equal(WHOLE["tensor_sum"](a, b, ratio=ratio, offset=offset), theirs)


@pytest.mark.parametrize("shape", [*SHAPES, ()])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.55, 1.0])
def test_top_k_tensor_sum_is_sd_mechas_where_it_has_no_offset(shape, ratio):
    a, b = tensors(shape, 2)
    theirs = merge_methods.resolve("top_k_tensor_sum").__wrapped__(a, b, width=ratio, offset=0.0)
    assert torch.equal(WHOLE["top_k_tensor_sum"](a, b, ratio=ratio, offset=0.0), theirs)


def test_top_k_tensor_sum_by_hand():
    a, b = row(3, -1, 2, 5), row(10, 30, 20, -4)
    assert WHOLE["top_k_tensor_sum"](a, b, ratio=1.0, offset=0.0).tolist() == [2, 5, 3, -1]
    # the two smallest of a, -1 and 2, go where b has its smallest and second smallest
    assert WHOLE["top_k_tensor_sum"](a, b, ratio=0.5, offset=0.0).tolist() == [2, -1, 2, -1]
    # with an offset of a half the other two, 3 and 5; with one of 3/4 the largest and the smallest
    assert WHOLE["top_k_tensor_sum"](a, b, ratio=0.5, offset=0.5).tolist() == [3, 5, 3, 5]
    assert WHOLE["top_k_tensor_sum"](a, b, ratio=0.5, offset=0.75).tolist() == [3, 5, 2, -1]
    assert torch.equal(WHOLE["top_k_tensor_sum"](a, b, ratio=0.0, offset=0.5), a)


# -- smoothing


def smoothed(values: np.ndarray) -> np.ndarray:
    """The median of 3 in every dimension, then a Gaussian of sigma 1 cut at 4, mirrored at the edges."""
    edges = np.pad(values, 1, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(edges, [3] * values.ndim)
    values = np.median(windows, axis=tuple(range(-values.ndim, 0)))
    weights = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    for axis in range(values.ndim):
        padding = [(4, 4) if i == axis else (0, 0) for i in range(values.ndim)]
        wide = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="symmetric"), 9, axis)
        values = wide @ weights / weights.sum()
    return values


@pytest.mark.parametrize("shape", [*SHAPES, ()])
def test_smooth_add_is_supermergers(shape):
    a, b, c = tensors(shape, 3)
    added = smoothed((b - c).double().numpy()) if shape else (b - c).double().numpy()
    close(WHOLE["smooth_add"](a, b, c, ratio=0.7), a.double().numpy() + 0.7 * added)


# -- extract


def test_extract_by_hand():
    """Rows whose differences are parallel, opposite and at right angles."""
    a = torch.ones(3, 2)
    b, c = a + torch.tensor([[1.0, 0], [1, 0], [1, 0]]), a + torch.tensor([[3.0, 0], [-1, 0], [0, 1]])

    def added(**numbers):
        return (WHOLE["extract"](a, b, c, **numbers) - a).tolist()

    assert added(ratio=0.0, differing=0.0, gamma=1.0) == [[1, 0], [0, 0], [0.5, 0]]
    assert added(ratio=0.0, differing=1.0, gamma=1.0) == [[0, 0], [1, 0], [0.5, 0]]
    assert added(ratio=0.5, differing=0.0, gamma=2.0) == [[2, 0], [0, 0], [0.125, 0.125]]


@pytest.mark.parametrize("shape", SHAPES)
def test_extract_is_supermergers(shape):
    a, b, c = models = tensors(shape, 3)
    x, y = (b - a).double().numpy(), (c - a).double().numpy()
    cosine = (x * y).sum(-1, keepdims=True) / np.linalg.norm(x, axis=-1, keepdims=True)
    shared = ((cosine / np.linalg.norm(y, axis=-1, keepdims=True) + 1) / 2).clip(0, 1) ** 3
    expected = a.double().numpy() + (0.6 * x + 0.4 * y) * (0.7 * shared + 0.3 * (1 - shared))
    close(WHOLE["extract"](*models, ratio=0.4, differing=0.3, gamma=3.0), expected)
