"""A fingerprint differs where a bit does, and only there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.merge.engine.fingerprint import BLOCK, PAGE_BYTES, PIECE_BYTES, _blocks, fingerprint

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.int64)


def random(count, dtype, seed=0):
    """Elements of random bits, so NaNs and infinities among them."""
    size = count * dtype.itemsize
    bits = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return bits.view(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6000), st.data())
def test_any_bit_counts(dtype, count, data):
    tensors = {"a": random(count, dtype), "b": random(7, dtype, 1)}
    before = fingerprint(tensors)
    bits = tensors["a"].view(torch.uint8)
    bits[data.draw(st.integers(0, bits.numel() - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert fingerprint(tensors) != before


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(DTYPES), st.integers(0, 2**31), st.data())
def test_an_element_that_moves_to_another_page_is_seen(dtype, seed, data):
    per_page = PAGE_BYTES // dtype.itemsize
    tensor = random(4 * per_page, dtype, seed)
    before, whole = fingerprint({"a": tensor}), tensor.view(torch.uint8).clone()
    here, there = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=2, unique=True))
    i, j = (page * per_page + data.draw(st.integers(0, per_page - 1)) for page in (here, there))
    tensor[[i, j]] = tensor[[j, i]]
    assert (fingerprint({"a": tensor}) == before) == torch.equal(tensor.view(torch.uint8), whole)


def test_the_order_does_not_count_and_names_dtypes_and_shapes_do():
    a, b = random(600, torch.float16), random(600, torch.float16, 1)
    same = fingerprint({"a": a, "b": b})
    assert len(same) == 10
    assert int(same, 16) >= 0
    assert fingerprint({"b": b, "a": a}) == same
    others = ({"a": b, "b": a}, {"a": a, "c": b}, {"a": a.view(torch.bfloat16), "b": b}, {"a": a})
    assert len({same, *map(fingerprint, others), fingerprint({"a": a.view(2, 300), "b": b})}) == 6


def test_how_a_tensor_lies_in_memory_does_not_count():
    tensor = random(PAGE_BYTES * 3, torch.float16).view(48, -1)
    turned = tensor.T.contiguous().T
    assert not turned.is_contiguous()
    odd = torch.cat([random(1, torch.float16, 1), tensor.view(-1)])[1:].view(48, -1)
    assert odd.storage_offset() * odd.itemsize % 8
    assert fingerprint({"a": turned}) == fingerprint({"a": odd}) == fingerprint({"a": tensor})


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_count(threads):
    tensors = {str(i): random(PIECE_BYTES // 2 + 5 * i, torch.float16, i) for i in range(9)}
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert fingerprint(tensors) == "a66965573b"
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)


def test_how_many_are_summed_at_once_does_not_count():
    tensors = {str(i): random(3000 + 5 * i, torch.float16, i) for i in range(21)}
    names = sorted(tensors)
    parts = [_blocks(names[start : start + BLOCK], tensors) for start in range(0, len(names), BLOCK)]
    assert _blocks(names, tensors) == b"".join(parts)


def test_what_is_empty_has_one_too():
    empty = {"a": torch.empty(0)}
    assert len({fingerprint({}), fingerprint(empty), fingerprint({"a": torch.tensor(0.0)})}) == 3


@pytest.mark.gpu
def test_a_gpu_finds_the_same():
    for dtype in DTYPES:
        tensors = {str(i): random(PIECE_BYTES // 2 + 5 * i, dtype, i) for i in range(BLOCK + 2)}
        assert fingerprint({n: t.cuda() for n, t in tensors.items()}) == fingerprint(tensors)
