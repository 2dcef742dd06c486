"""Compiled loops give what torch gives, bit for bit; only sums of products are exacter."""

import math
from functools import partial

import pytest
import torch

from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.merge.engine import compiled
from gridsearch.merge.engine.changes import LowRank, _writer_of_scaled, change_to_keep
from gridsearch.merge.engine.collapse import Node
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.formulas.pieces import add_train_difference, ties
from gridsearch.merge.engine.formulas.products import products
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import MadeHere, blend, blend_into, new_buffer
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.sources import LoadedSource

pytest.importorskip("numba")
pytestmark = pytest.mark.night  # a machine's first call of a loop compiles it

SIZE = compiled.WORTH_IT + 77
WHOLE = slice(0, SIZE)
DTYPES = [torch.float16, torch.bfloat16, torch.float32]


def models(dtype, count=3):
    """Models near one another, of values of all sizes, among them equal ones and subnormal differences."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(SIZE, generator=generator) ** 5
    steps = (torch.randn(SIZE, generator=generator) ** 3 / 100 for _ in range(count - 1))
    found = [first, *(first + step.where(step.abs() > 1e-4, 0) for step in steps)]
    return [one.to(dtype) for one in found]


def assert_alike(make, monkeypatch):
    """The loops are asked, and give the bits that torch gives where numba is absent."""
    loops = compiled._loops
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "_loops", lambda: asked.append(loops()) or asked[-1])
        own = make()
        assert any(asked)
        patch.setattr(compiled, "_loops", lambda: None)
        other = make()
    assert own.dtype == other.dtype
    assert torch.equal(own.view(torch.uint8), other.view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [False, True])
def test_a_sum_of_any_weights(dtype, wide, monkeypatch):
    out = torch.float32 if wide else dtype
    for weights in ([0.7, 0.4], [0.2, -0.3, 1.4], [0.3, 0.1, 1e-3, -2.0, 0.25]):
        assert_alike(partial(blend, models(dtype, len(weights)), weights, out), monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_of_two_whatever_their_bits(dtype, monkeypatch):
    """Infinities, NaN and subnormal values are among them; a NaN may be another NaN."""
    generator = torch.Generator().manual_seed(0)
    size = SIZE * dtype.itemsize
    pair = [torch.randint(256, (size,), generator=generator).byte().view(dtype) for _ in range(2)]
    pair[1][::5] = pair[0][::5]
    assert all(float("inf") in one or dtype == torch.float32 for one in pair)

    def merged(*weights):
        made = blend(pair, weights, dtype)
        assert made.isnan().any()
        return torch.cat([made.isnan().to(dtype), made.where(~made.isnan(), 0)])

    for far in (0.3, 0.5, 0.7, 1e-3, -0.3, -1.0, 2.5):  # from a half on it starts at the other
        assert_alike(partial(merged, 1 - far, far), monkeypatch)
        assert_alike(partial(merged, 1, far), monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", [[0.7, 0.3], [1.0, 0.3], [0.7, 0.4], [0.2, -0.3, 1.4]])
def test_a_sum_is_written_anywhere_in_memory_and_nothing_beside_it(weights, dtype, monkeypatch):
    def merged(begin):
        room = torch.full((SIZE + 64,), 7.0, dtype=dtype)
        blend_into(room[begin : begin + SIZE], models(dtype, len(weights)), weights, dtype, new_buffer())
        return room

    for begin in (0, 1, 31, 32, 63):  # values of 2 or 4 bytes; a cache line has 64
        assert_alike(partial(merged, begin), monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_train_difference(dtype, monkeypatch):
    a, b, c = models(dtype)
    made = MadeHere([a, b, c], add_train_difference)
    assert_alike(lambda: blend([a, made], [1, 0.3], dtype), monkeypatch)
    assert_alike(lambda: blend([a, b, made, made], [0.5, 0.5, 0.2, -0.7], torch.float32), monkeypatch)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vote", ["magnitude", "count"])
def test_the_change_of_ties(dtype, vote, monkeypatch):
    for k, count in ((0.2, 3), (1.0, 4)):
        change = partial(ties, *models(dtype, count), k=k, vote=vote, combine="mean")
        assert_alike(lambda change=change: change()(WHOLE), monkeypatch)


def test_what_is_not_finite_stays_so():
    a, b, c = models(torch.float16)
    b[5], c[7] = float("nan"), float("inf")
    change = ties(a, b, c, k=1.0, vote="magnitude", combine="mean")(WHOLE)
    assert change.isfinite().logical_not().nonzero().flatten().tolist() == [5, 7]
    assert torch.isnan(torch.tensor(_writer_of_scaled(torch.empty(SIZE).half())(WHOLE, change, 2.0)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_change_is_kept(dtype, monkeypatch):
    values = models(torch.float32, 1)[0]

    def kept():
        out = torch.empty(SIZE, dtype=dtype)
        highest = _writer_of_scaled(out)(WHOLE, values, 2.0**-3)
        return torch.cat([out.float(), torch.tensor([highest])])

    assert_alike(kept, monkeypatch)
    assert kept()[-1] == values.abs().max()


def test_a_change_is_kept_in_float64_too():
    values, out = models(torch.float32, 1)[0], torch.empty(SIZE, dtype=torch.float64)
    assert _writer_of_scaled(out)(WHOLE, values, 0.5) == values.abs().max()
    assert torch.equal(out, values.double() / 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_those_of_float64(dtype):
    first, *others = (one.double() for one in models(dtype))
    known, away = products(models(dtype)), [other - first for other in others]
    exact = torch.tensor([[one @ two for one in (first, *away)] for two in (first, *away)])
    found = torch.tensor([[known.first, *known.along], *([one, *row] for one, row in
                          zip(known.along, known.between, strict=True))], dtype=torch.float64)  # fmt: skip
    lengths = exact.diagonal().sqrt()
    assert ((found - exact).abs() / (lengths * lengths[:, None])).max() < 1e-7


def step(method, *inputs, **numbers):
    return ((Node(method, inputs, tuple(numbers.items())), 1.0),)


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_that_are_merged_together_are_merged_as_alone(dtype):
    a, b, c = (((name, 1.0),) for name in "abc")
    terms = {
        "toward": (("a", 0.3), ("b", 0.7)),
        "two": (("a", 0.9), ("b", 0.4)),
        "three": (("a", 0.5), ("b", 0.7), ("c", -0.25)),
        "slerp": step("slerp", a, b, ratio=0.3),
        "median": step("geometric_median", a, b, c),
        "of slerp": step("slerp", step("slerp", a, b, ratio=0.3), c, ratio=0.6),
        "changed": step("ties", a, b, c, ratio=0.7, k=0.5, vote="count", combine="mean"),
        "copied": b,
        "small": (("a", 0.3), ("c", 0.7)),
    }
    names = [f"{name} {i}" for name in terms for i in range(3)]
    sources = {}
    for name, one in zip("abc", models(dtype), strict=True):
        held = {key: one.roll(k)[: 100 if "small" in key else SIZE - k] for k, key in enumerate(names)}
        sources[name] = LoadedSource(held)
    parts = {key: [LiveRows(slice(None), torch.zeros_like(sources["a"].tensor(key)))] for key in names}
    live = Live(parts, sources, dict.fromkeys(names, dtype))
    merge_live(live, {key: terms[key[:-2]] for key in names})
    for key in names:
        alone = evaluate(terms[key[:-2]], key, sources, dtype, new_buffer())
        assert torch.equal(parts[key][0].view.view(torch.uint8), alone.view(torch.uint8)), key


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns", "rank"), [(640, 640, 32), (513, 600, 5), (1030, 333, 70)])
def test_a_product_is_kept_as_that_of_float64(dtype, rows, columns, rank):
    generator = torch.Generator().manual_seed(0)
    up, down = (torch.randn(shape, generator=generator) for shape in ((rows, rank), (rank, columns)))
    exact = up.double() @ down.double()
    made = change_to_keep((rows, columns), LowRank(up, down), dtype, torch.device("cpu"), Kept())
    assert made.greatest == pytest.approx(made.scale * exact.abs().max().item(), rel=1e-6)
    error = (made.tensor.double() / made.scale - exact).abs()
    by_sums = rank * 2.0**-24 * (up.double().abs() @ down.double().abs())
    assert (error <= (exact.abs() + by_sums) * torch.finfo(dtype).eps / 2 + by_sums).all()


def test_a_product_whose_first_rows_are_small_is_scaled_by_all():
    up, down = torch.ones(1000, 2), torch.ones(2, 300)
    up[700] = 2.0**20
    made = change_to_keep((1000, 300), LowRank(up, down), torch.float16, torch.device("cpu"), Kept())
    assert made.tensor[700].float().div(made.scale).eq(2.0**21).all()
    assert made.tensor[0].float().div(made.scale).eq(2).all()
    up[800] = float("nan")
    made = change_to_keep((1000, 300), LowRank(up, down), torch.float16, torch.device("cpu"), Kept())
    assert math.isnan(made.greatest)
