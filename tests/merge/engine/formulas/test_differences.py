"""The methods that keep a part of each difference, against their papers in float64."""

import math

import numpy as np
import pytest
import torch

from gridsearch.merge.engine.formulas import elections
from gridsearch.merge.engine.formulas.dropout import _drawn
from tests.helpers.methods import WHOLE
from tests.helpers.tensors import SHAPES, close, row, tensors


def differences(a: torch.Tensor, *others: torch.Tensor) -> list[np.ndarray]:
    return [(other - a).double().numpy() for other in others]


# -- breadcrumbs

CRUMBS = {"drop_smallest": 0.3, "drop_largest": 0.2}


def crumbs(difference: np.ndarray) -> np.ndarray:
    """Davari & Belilovsky 2023: the mask is zero for the smallest and for the largest values."""
    kept = np.zeros(difference.size)
    by_size = sorted(range(difference.size), key=lambda i: abs(difference.flat[i]))
    for i in by_size[math.floor(0.3 * len(by_size)) : len(by_size) - math.floor(0.2 * len(by_size))]:
        kept[i] = difference.flat[i]
    return kept.reshape(difference.shape)


def test_breadcrumbs_leaves_out_both_ends():
    b = row(-1, 2, 3, 4, -5, 6, 7, 8, 9, 10)
    merged = WHOLE["breadcrumbs"](torch.zeros(10), b, ratio=0.5, **CRUMBS)
    assert merged.tolist() == [0, 0, 0, 2, -2.5, 3, 3.5, 4, 0, 0]


@pytest.mark.parametrize("shape", SHAPES)
def test_breadcrumbs_adds_what_is_left_of_every_difference(shape):
    models = tensors(shape, 4)
    total = sum(crumbs(one) for one in differences(*models))
    close(WHOLE["breadcrumbs"](*models, ratio=0.7, **CRUMBS), models[0].double().numpy() + 0.7 * total)


def test_breadcrumbs_keeps_values_that_are_all_of_one_size():
    b = row(2, -2, 2, 2)
    assert torch.equal(WHOLE["breadcrumbs"](torch.zeros(4), b, ratio=1.0, **CRUMBS), b)


def test_breadcrumbs_where_nothing_is_left_is_the_first_model():
    a, b = tensors((4, 5), 2)
    assert torch.equal(WHOLE["breadcrumbs"](a, b, ratio=1.0, drop_smallest=0.6, drop_largest=0.5), a)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("vote", ["magnitude", "count"])
def test_breadcrumbs_ties_elects_among_what_is_left(shape, vote):
    models = tensors(shape, 4)
    left = np.stack([crumbs(one) for one in differences(*models)])
    elected = np.sign((left if vote == "magnitude" else np.sign(left)).sum(0))
    agree = (np.sign(left) == elected) & (elected != 0)
    mean = np.where(agree, left, 0).sum(0) / np.maximum(agree.sum(0), 1)
    merged = WHOLE["breadcrumbs_ties"](*models, ratio=0.7, vote=vote, **CRUMBS)
    close(merged, models[0].double().numpy() + 0.7 * mean)


# -- DARE


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dare_drops_the_share_and_scales_the_rest_up(probability):
    """Yu et al. 2023: each value is zero with p, and else divided by 1 - p."""
    a, b = tensors((200, 250), 2)
    merged = WHOLE["dare_linear"](a, b, ratio=0.5, probability=probability, seed=3)
    dropped = merged == a
    spread = math.sqrt(probability * (1 - probability) / a.numel())
    assert abs(dropped.double().mean() - probability) < 4 * spread
    expected = a + 0.5 * (b - a) / (1 - probability)
    torch.testing.assert_close(merged[~dropped], expected[~dropped])


@pytest.mark.parametrize("count", [1, 7, 15, 16, 1000])
def test_the_draws_are_those_of_torchs_bernoulli(count):
    for chance in [0.0, 0.1, 1 / 3, 0.5, 0.999, 1.0]:
        chances = torch.full((count,), chance)
        two, own = (torch.Generator().manual_seed(5) for _ in range(2))
        for _ in range(2):  # the second draws go on where the first ended
            expected = torch.bernoulli(chances, generator=two).bool()
            assert torch.equal(_drawn(chances[0], chances.shape, own), expected)
    chances = torch.rand(count)
    two, own = (torch.Generator().manual_seed(5) for _ in range(2))
    expected = torch.bernoulli(chances, generator=two).bool()
    assert torch.equal(_drawn(chances, chances.shape, own), expected)


def test_dare_linear_adds_models_that_are_thinned_each_for_itself():
    a, one = torch.zeros(200, 250), torch.ones(200, 250)
    merged = WHOLE["dare_linear"](a, one, 10 * one, ratio=1.0, probability=0.5, seed=3)
    counts = {value: (merged == value).double().mean().item() for value in (0, 2, 20, 22)}
    assert sum(counts.values()) == pytest.approx(1)
    assert all(abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / a.numel()) for share in counts.values())


RANDOM = {
    "dare_linear": {},
    "dare_ties": {"k": 1.0, "vote": "magnitude"},
    "della": {"k": 1.0, "vote": "magnitude", "della_eps": 0.2, "ranks": "rows"},
}


@pytest.mark.parametrize("method", RANDOM)
def test_a_seed_is_one_draw(method):
    models = tensors((20, 30), 3)

    def merged(seed):
        return WHOLE[method](*models, ratio=1.0, probability=0.5, seed=seed, **RANDOM[method])

    assert torch.equal(merged(2**40), merged(2**40))
    assert not torch.equal(merged(2**40), merged(2**40 + 1))


@pytest.mark.gpu
@pytest.mark.parametrize("method", RANDOM)
def test_a_seed_is_the_same_draw_on_a_gpu(method):
    models = tensors((20, 30), 3)
    numbers = {"ratio": 1.0, "probability": 0.5, "seed": 7} | RANDOM[method]
    there = WHOLE[method](*(one.cuda() for one in models), **numbers).cpu()
    torch.testing.assert_close(there, WHOLE[method](*models, **numbers))


# -- DELLA

MAGPRUNE = {
    "probability": 0.6,
    "della_eps": 0.4,
    "k": 1.0,
    "vote": "magnitude",
    "ranks": "rows",
    "ratio": 1.0,
}


def chances(difference: np.ndarray) -> np.ndarray:
    """Deep et al. 2024, section 3: p_i = p - eps / 2 + eps / n * r_i, r_i = 0 for the largest of a row."""
    rows = difference.reshape(len(difference), -1) if difference.ndim > 1 else difference[None]
    kept = np.empty_like(rows)
    for values, chance in zip(rows, kept, strict=True):
        by_size = sorted(range(len(values)), key=lambda i: -abs(values[i]))
        for rank, i in enumerate(by_size):
            chance[i] = 1 - (0.6 - 0.4 / 2 + 0.4 / len(values) * rank)
    return kept.reshape(difference.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_della_drops_by_the_rank_in_a_row_and_scales_by_its_own_chance(shape):
    a, b = tensors(shape, 2)
    (difference,) = differences(a, b)
    chance, draws = chances(difference), 400
    merged = [WHOLE["della"](a, b, **MAGPRUNE, seed=seed) - a for seed in range(draws)]
    kept = np.stack([one.double().numpy() for one in merged])
    expected = np.where(kept == 0, 0, (difference / chance)[None])
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-6)
    spread = np.sqrt(chance * (1 - chance) / draws)
    assert (np.abs((kept != 0).mean(0) - chance) < 5 * spread).all()


def test_della_without_a_window_is_dare():
    models = tensors((20, 30), 3)
    shared = MAGPRUNE | {"seed": 5}
    by_row = WHOLE["della"](*models, **shared | {"della_eps": 0.0})
    del shared["ranks"], shared["della_eps"]
    torch.testing.assert_close(by_row, WHOLE["dare_ties"](*models, **shared))


@pytest.mark.parametrize(("probability", "kept"), [(0.95, "largest"), (0.05, "all but the smallest")])
def test_chances_beyond_0_and_1_are_cut(probability, kept):
    """With a window that reaches over the end some are always, or never, kept; nothing is infinite."""
    b = torch.arange(1, 101, dtype=torch.float32).reshape(1, 100)
    numbers = MAGPRUNE | {"probability": probability, "della_eps": 0.4, "seed": 0}
    merged = WHOLE["della"](torch.zeros(1, 100), b, **numbers)
    assert merged.isfinite().all()
    if kept == "largest":  # p is 1 or more from rank 63 on
        assert not merged[0, :37].any()
    else:  # p is 0 or less up to rank 37: kept as they are
        assert torch.equal(merged[0, 62:], b[0, 62:])


# -- many models

PIECEWISE = {
    "ties": {"k": 0.5, "combine": "stock"},
    "della": {"ranks": "tensor", "k": 0.7, "probability": 0.3, "combine": "median"},
    "dare_ties": {"k": 0.5, "probability": 0.3},
    "dare_linear": {"probability": 0.3},
}


@pytest.mark.parametrize("method", PIECEWISE)
def test_few_values_at_once_give_the_same_merge(method, monkeypatch):
    """So many models that only a few values of each are held; with 21 columns no piece ends with a byte."""
    models = tensors((13, 21), 9)
    whole = WHOLE[method](*models, ratio=1.0, **PIECEWISE[method])
    monkeypatch.setattr(elections, "AT_ONCE", 50)
    torch.testing.assert_close(WHOLE[method](*models, ratio=1.0, **PIECEWISE[method]), whole)


@pytest.mark.parametrize("vote", ["magnitude", "count"])
def test_a_median_and_a_stock_of_what_agrees(vote):
    """Both from the whole tensors, in float64: Weiszfeld (1937), and Jang et al. (2024) row by row."""
    models = tensors((6, 5), 5)
    deltas = np.stack(differences(*models))
    elected = np.sign((deltas if vote == "magnitude" else np.sign(deltas)).sum(0))
    agreeing = np.where(np.sign(deltas) == elected, deltas, 0)
    median = agreeing.mean(0)
    for _ in range(100):
        near = 1 / np.maximum(np.sqrt(((agreeing - median) ** 2).sum((1, 2))), 1e-6)
        median = (near[:, None, None] * agreeing).sum(0) / near.sum()
    first = models[0].double().numpy()
    close(WHOLE["ties"](*models, ratio=1.0, k=1.0, vote=vote, combine="median"), first + median)
    lengths = np.sqrt((agreeing**2).sum(2))
    products = (agreeing[:-1] * agreeing[1:]).sum(2)
    cosine = (products / np.maximum(lengths[:-1] * lengths[1:], 1e-30)).mean(0)
    t = 4 * cosine / (1 + 3 * cosine)
    mean = agreeing.sum(0) / np.maximum((agreeing != 0).sum(0), 1)
    close(WHOLE["ties"](*models, ratio=1.0, k=1.0, vote=vote, combine="stock"), first + t[:, None] * mean)


def test_what_is_left_may_stay_as_it_is():
    a, b, c = tensors((20, 30), 3)
    numbers = {"ratio": 1.0, "probability": 0.5, "seed": 3}
    up, plain = (WHOLE["dare_linear"](a, b, c, **numbers, rescale=rescale) - a for rescale in (True, False))
    torch.testing.assert_close(up, 2 * plain)


# -- SCE


def test_sce_by_hand():
    models = torch.zeros(4), row(4, 0, 1, -1), row(2, 0, -3, -1)
    # variances 1, 0, 4, 0: of the two that vary the one at the third place is kept, squares 1/4 and 9/4
    torch.testing.assert_close(WHOLE["sce"](*models, ratio=1.0, k=0.5), row(0, 0, -3, 0))
    # all places: weights 9/16 and 7/16
    torch.testing.assert_close(WHOLE["sce"](*models, ratio=1.0, k=1.0), row(3.125, 0, -3, -1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [0.1, 0.5, 1.0])
def test_sce_selects_calculates_and_erases(shape, k):
    """Wan et al. 2024; the sum at each place is divided by the weights there, as in the authors' code."""
    models = tensors(shape, 4)
    deltas = np.stack(differences(*models))
    if k < 1:
        variance = deltas.var(0)
        chosen = np.argsort(variance, axis=None)[variance.size - int(k * variance.size) :]
        selected = np.zeros(variance.size, bool)
        selected[chosen] = True
        deltas = deltas * selected.reshape(shape)
    squares = (deltas**2).reshape(3, -1).mean(1)
    weights = squares / max(squares.sum(), 1e-300)
    agree = np.sign(deltas) == np.sign(deltas.sum(0))
    shares = np.where(agree, weights.reshape(3, *[1] * len(shape)), 0)
    mixed = (shares * deltas).sum(0) / np.where(shares.sum(0) > 0, shares.sum(0), 1)
    close(WHOLE["sce"](*models, ratio=0.7, k=k), models[0].double().numpy() + 0.7 * mixed)
