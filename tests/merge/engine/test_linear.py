"""The linear kernel is exact: float32 arithmetic, rounded once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.base.errors import RunFailed
from gridsearch.merge.engine.formulas.pieces import add_train_difference
from gridsearch.merge.engine.linear import MadeHere, blend, blend_into, greatest, new_buffer, require_finite


def pair(dtype, seed=0, size=100_000):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, generator=generator) * 0.05).to(dtype) for _ in range(2)]


def share_unlike(merged, exact):
    """The share of elements that differ from the exact values rounded once, where one neighbour is nearer.

    A decimal ratio puts up to one element in a hundred right between two values (for 0.45 it is (11 a + 9 b)
    / 20): then neither is, and float64's own last bit decides.
    """
    rounded = exact.to(merged.dtype)
    middle = (merged.double() + rounded.double()) / 2
    is_tie = (exact - middle).abs() <= 1e-15
    return ((merged != rounded) & ~is_tie).double().mean().item()


DECIMALS = (0.05, 0.1, 0.3, 0.45, 0.55, 0.7, 0.75, 0.9, 0.95)


# Float32 lies between: where it rounds to a tie of the narrower dtype, the second rounding may go wrong. More
# often so in bfloat16, whose values differ more in size.
@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 3e-4), (torch.bfloat16, 1e-3)])
@settings(max_examples=20, deadline=None)
@given(ratio=st.sampled_from(DECIMALS) | st.floats(0, 1))
def test_two_models_are_the_exact_sum_rounded_once(dtype, most, ratio):
    a, b = pair(dtype)
    exact = a.double() * (1 - ratio) + b.double() * ratio
    assert share_unlike(blend([a, b], [1 - ratio, ratio], dtype), exact) <= most


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@settings(max_examples=20, deadline=None)
@given(weight=st.floats(-2, 2).filter(bool))
def test_a_tensor_and_a_change_are_the_exact_sum_rounded_once(dtype, weight):
    """`torch.add` rounds the weight itself to the narrower dtype: 0.3 would be 1 in 6,000 too much."""
    a, change = pair(dtype)
    exact = a.double() + change.double() * weight
    assert share_unlike(blend([a, change], [1, weight], dtype), exact) <= 5e-3


@settings(max_examples=20, deadline=None)
@given(weights=st.lists(st.floats(-2, 2).filter(bool), min_size=3, max_size=8))
def test_many_models_are_rounded_once(weights):
    tensors = [pair(torch.float16, seed)[0] for seed in range(len(weights))]
    exact = sum(tensor.double() * weight for tensor, weight in zip(tensors, weights, strict=True))
    assert share_unlike(blend(tensors, weights, torch.float16), exact) <= 5e-3


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


@pytest.mark.parametrize("weights", [[0.75, 0.25], [1.0, 0.3], [0.5, 0.25], [1.0]])
@pytest.mark.parametrize("view", ["contiguous", "transposed", "wider"])
def test_wherever_it_is_written_it_is_the_same_bit_for_bit(weights, view):
    """Pieces of more than one buffer, a transposed view, and a view wider than the file's dtype."""
    size = 700
    tensors = [tensor.view(size, size) for tensor in pair(torch.float16, size=size * size)][: len(weights)]
    merged = blend(tensors, weights, torch.float16)
    out = torch.zeros(size, size, dtype=torch.float32 if view == "wider" else torch.float16)
    blend_into(out.T if view == "transposed" else out, tensors, weights, torch.float16, new_buffer())
    assert torch.equal(out.T if view == "transposed" else out, merged.to(out.dtype))


@pytest.mark.parametrize("weights", [([1], [0.3]), ([0.5], [0.3]), ([], [1, 2]), ([0.5, 0.5], [0.25, -0.75])])
def test_what_is_made_where_it_is_added_is_the_exact_sum(weights):
    """Each of two parts counts, also where they are one and the same."""
    a, b, c = (torch.randn(700_000, generator=torch.Generator().manual_seed(i)).half() for i in range(3))
    own, made = weights
    addends = [*(a, b)[: len(own)], *[MadeHere([a, b, c], add_train_difference)] * len(made)]
    x, y, z = (one.double() for one in (a, b, c))
    away, trained = (y - x).abs(), (y - z).abs()
    change = 1.8 * away / (away + trained).clamp(min=1e-30) * (y - z)
    exact = sum((w * one for w, one in zip(own, (x, y), strict=False)), sum(made) * change)
    merged = blend(addends, [*own, *made], torch.float32)
    assert (merged.double() - exact).abs().max() < 1e-5


def test_a_scalar_is_merged_like_any_other():
    a, b = torch.tensor(1.0).half(), torch.tensor(2.0).half()
    assert blend([a, b], [0.25, 0.5], torch.float16).item() == 1.25


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn])
def test_a_value_that_is_not_finite_is_never_lost_among_others(dtype):
    values = torch.tensor([1.0, -3.0, 2.0])
    assert greatest(values.to(dtype)) == 3.0
    require_finite(values.to(dtype), "w")
    has_infinity = dtype != torch.float8_e4m3fn
    for bad in (float("nan"), *((float("inf"), -float("inf")) if has_infinity else ())):
        broken = torch.where(values == 2, bad, values).to(dtype)
        with pytest.raises(RunFailed, match="non-finite"):
            require_finite(broken, "w")
