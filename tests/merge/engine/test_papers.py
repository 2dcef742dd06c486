"""Methods against the formulas of their papers, in float64, without asking sd-mecha."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.methods import WHOLE
from tests.helpers.tensors import SHAPES as ALL_SHAPES
from tests.helpers.tensors import close, tensors

SHAPES = ALL_SHAPES[1:]  # of tensors of one number every cosine is ±1


def apply_method(method: str, models: list[torch.Tensor], numbers: dict) -> torch.Tensor:
    return WHOLE[method](*models, **numbers)


def differences(a: torch.Tensor, *others: torch.Tensor) -> np.ndarray:
    return np.stack([(other - a).double().numpy() for other in others])


def ties(a, *others, ratio: float, k: float, count: bool = False) -> np.ndarray:
    """Yadav et al. 2023, algorithm 1: trim, elect, and merge those that agree."""
    trimmed = differences(a, *others)
    for delta in trimmed:
        delta[np.abs(delta) < np.sort(np.abs(delta), axis=None)[max(int((1 - k) * delta.size), 1) - 1]] = 0
    elected = np.sign((np.sign(trimmed) if count else trimmed).sum(0))
    agree = (np.sign(trimmed) == elected) & (elected != 0)
    mean = np.where(agree, trimmed, 0).sum(0) / np.maximum(agree.sum(0), 1)
    return a.double().numpy() + ratio * mean


def model_stock(a, *others, ratio: float) -> np.ndarray:
    """Jang et al. 2024, equation 5, with the mean angle of all pairs."""
    deltas = differences(a, *others).reshape(len(others), -1)
    units = deltas / np.linalg.norm(deltas, axis=1, keepdims=True)
    n, cosines = len(others), (units @ units.T)[np.triu_indices(len(others), 1)]
    t = n * cosines.mean() / (1 + (n - 1) * cosines.mean())
    return a.double().numpy() + ratio * t * deltas.mean(0).reshape(a.shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("vote", ["magnitude", "count"])
def test_ties_elects_by_magnitude_or_by_count(shape, vote):
    models = tensors(shape, 5)
    merged = apply_method("ties", models, {"ratio": 0.7, "k": 0.4, "vote": vote})
    close(merged, ties(*models, ratio=0.7, k=0.4, count=vote == "count"))


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("ties", {}),
        ("dare_ties", {"probability": 0.0, "seed": 0}),
        ("della", {"probability": 0.0, "seed": 0, "della_eps": 0.0, "ranks": "rows"}),
    ],
)
def test_one_large_change_outweighs_a_small_one_against_it(method, numbers):
    zero, one, other = torch.zeros(3), torch.full((3,), 1.0), torch.full((3,), -0.1)
    for vote, expected in (("magnitude", 1.0), ("count", 0.0)):
        merged = apply_method(method, [zero, one, other], {"ratio": 1.0, "k": 1.0, "vote": vote} | numbers)
        assert merged.tolist() == [expected] * 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 3, 7])
def test_model_stock_is_the_papers(shape, count):
    a, common, *own = tensors(shape, count + 2)
    models = [a, *(a + common + 0.7 * one for one in own)]
    close(
        apply_method("model_stock", models, {"ratio": 1.0, "cosine": "tensor"}),
        model_stock(*models, ratio=1.0),
    )


def test_unrelated_changes_leave_a_models_tensor_nearly_as_it_is():
    """Of a 1 x 1 convolution too, whose last dimension has one number: the cosine of that is always ±1."""
    a, b, c = tensors((320, 320, 1, 1), 3)
    merged = apply_method("model_stock", [a, a + b, a + c], {"ratio": 1.0, "cosine": "tensor"})
    assert (merged - a).norm() < 0.02 * ((b + c) / 2).norm()


@given(st.integers(0, 1000), st.floats(-1, 1), st.integers(2, 5))
def test_model_stock_never_goes_further_than_the_mean(seed, shared, count):
    a, common, *own = tensors((5, 6), count + 2, seed)
    models = [a, *(a + shared * common * (-1) ** i + 0.3 * one for i, one in enumerate(own))]
    mean = sum(models[1:]) / count
    merged = apply_method("model_stock", models, {"ratio": 1.0, "cosine": "tensor"})
    assert (merged - a).norm() <= (mean - a).norm() * (1 + 1e-5) + 1e-6


def test_models_that_are_all_the_same_stay_so():
    (a,) = tensors((4, 4), 1)
    for method in ("model_stock", "ties"):
        numbers = {"model_stock": {"cosine": "tensor"}, "ties": {"k": 0.5, "vote": "magnitude"}}[method]
        assert torch.equal(apply_method(method, [a, a, a], {"ratio": 1.0} | numbers), a)


@pytest.mark.parametrize("shape", SHAPES)
def test_slerp_goes_along_the_arc(shape):
    """Shoemake 1985 on the directions; the norms are interpolated."""
    a, b = tensors(shape, 2)
    x, y = a.double().numpy().ravel(), b.double().numpy().ravel()
    lengths = np.linalg.norm(x), np.linalg.norm(y)
    angle = np.arccos(x @ y / lengths[0] / lengths[1])
    weights = np.sin(0.7 * angle) / np.sin(angle), np.sin(0.3 * angle) / np.sin(angle)
    arc = weights[0] * x / lengths[0] + weights[1] * y / lengths[1]
    close(
        apply_method("slerp", [a, b], {"ratio": 0.3}),
        (arc * (0.7 * lengths[0] + 0.3 * lengths[1])).reshape(shape),
    )


def test_the_geometric_median_is_pulled_to_no_side():
    """Where the sum of distances is least, the unit vectors to the models cancel (Weiszfeld 1937)."""
    models = tensors((30, 20), 5)
    median = apply_method("geometric_median", models, {}).double()
    pull = sum((model - median) / torch.dist(model.double(), median) for model in models)
    assert pull.norm() < 1e-4
