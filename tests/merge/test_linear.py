"""The linear engine is exact: float32 arithmetic, rounded once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.errors import RunFailed
from gridsearch.merge.linear import blend, merge_into, require_finite
from gridsearch.render.layout import Piece


def pair(dtype, seed=0, size=100_000):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, generator=generator) * 0.05).to(dtype) for _ in range(2)]


def is_nearest(merged, exact):
    """Whether no value of the dtype is nearer to the exact one, as far as float32 can tell below 0.3."""
    best = (exact.to(merged.dtype).double() - exact).abs()
    return ((merged.double() - exact).abs() <= best + 1e-7).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@settings(max_examples=20, deadline=None)
@given(ratio=st.floats(0, 1))
def test_every_element_is_the_nearest_there_is_to_the_exact_sum(dtype, ratio):
    a, b = pair(dtype)
    exact = a.double() * (1 - ratio) + b.double() * ratio
    assert is_nearest(blend([a, b], [1 - ratio, ratio], dtype), exact)


def test_three_models_are_rounded_once():
    a, b = pair(torch.float16)
    c, _ = pair(torch.float16, seed=1)
    exact = 0.5 * a.double() + 0.3 * b.double() + 0.2 * c.double()
    assert is_nearest(blend([a, b, c], [0.5, 0.3, 0.2], torch.float16), exact)


@given(ratio=st.floats(0, 1))
def test_equal_parents_give_themselves(ratio):
    a, _ = pair(torch.float16, size=1000)
    assert torch.equal(blend([a, a.clone()], [1 - ratio, ratio], torch.float16), a)


def test_hand_computed_sum():
    a, b, c = (torch.tensor(x, dtype=torch.float16) for x in ([1.0, 2.0], [3.0, -2.0], [0.5, 0.25]))
    assert blend([a, b, c], [0.5, 0.25, 2.0], torch.float16).tolist() == [0.5 + 0.75 + 1.0, 1.0 - 0.5 + 0.5]


@pytest.mark.parametrize(
    ("weights", "exact"), [([0.5, 0.5], 1.0005), ([0.0, 1.0], 1.001), ([0.25, 0.5], 0.7505)]
)
def test_whatever_the_parents_are_kept_in_the_merge_is_rounded_to_its_own_dtype(weights, exact):
    tensors = [torch.tensor([1.0], dtype=torch.float16), torch.tensor([1.001], dtype=torch.float32)]
    used = [(tensor, weight) for tensor, weight in zip(tensors, weights, strict=True) if weight]
    merged = blend([tensor for tensor, _ in used], [weight for _, weight in used], torch.float16)
    assert merged.dtype == torch.float16
    assert merged.item() == torch.tensor(exact).half().item()


def test_eight_bit_floats_are_merged_and_not_copied():
    a, b = (torch.tensor([value]).to(torch.float8_e4m3fn) for value in (1.0, 2.0))
    assert blend([a, b], [0.5, 0.5], torch.float8_e4m3fn).float().item() == 1.5


class Source:
    def __init__(self, **tensors):
        self.tensors = tensors

    def tensor(self, key):
        return self.tensors[key]


def test_a_live_model_gets_the_rows_and_the_rounding_of_the_file():
    sources = {
        "a": Source(w=torch.tensor([[1.0], [2.0]]).half()),
        "b": Source(w=torch.tensor([[1.001], [4.0]]).half()),
    }
    top, bottom = torch.zeros(1, 1), torch.zeros(1, 1)
    live = {"w": [Piece(slice(0, 1), top), Piece(slice(1, 2), bottom)]}
    merge_into(live, sources, {"a": 0.5, "b": 0.5}, {"w": torch.float16})
    rounded = ((1.0 + sources["b"].tensors["w"][0].double()) / 2).half().float()
    assert top.item() == rounded.item()
    assert bottom.item() == 3.0


def test_a_nan_in_a_parent_of_weight_zero_stays_out_and_one_that_is_merged_is_named():
    broken = Source(w=torch.tensor([float("nan")]))
    live = {"w": [Piece(slice(None), torch.zeros(1))]}
    merge_into(live, {"a": Source(w=torch.ones(1)), "b": broken}, {"a": 1.0}, {"w": torch.float32})
    require_finite(live)
    merge_into(live, {"a": Source(w=torch.ones(1)), "b": broken}, {"a": 0.5, "b": 0.5}, {"w": torch.float32})
    with pytest.raises(RunFailed, match="non-finite"):
        require_finite(live)


def test_sd_mecha_agrees():
    """The oracle: the merge method of the tool that people use today."""
    from sd_mecha.extensions import merge_methods

    a, b = pair(torch.float32, size=1000)
    oracle = merge_methods.resolve("weighted_sum").__wrapped__(
        {"k": a}, {"k": b}, alpha=torch.tensor(0.3), key="k"
    )
    torch.testing.assert_close(blend([a, b], [0.7, 0.3], torch.float32), oracle, rtol=1e-6, atol=1e-7)
