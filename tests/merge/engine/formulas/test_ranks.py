"""Values at a rank, against a full search by torch."""

import math

import pytest
import torch

from gridsearch.merge.engine.formulas.ranks import LARGE, magnitude_of_rank, value_of_rank


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.8, 0.999, 1.0])
@pytest.mark.parametrize("kind", ["normal", "heavy", "ordered", "ties", "half", "bfloat16", "mixed"])
def test_a_threshold_found_by_a_sample_is_the_exact_one(share, kind):
    """That of the differences in float32, which half precision holds as they are only of near values."""
    generator = torch.Generator().manual_seed(1)
    size = 2 * LARGE + 77
    a, b = torch.zeros(size), torch.randn(size, generator=generator)
    if kind == "heavy":
        b = b**5
    elif kind == "ordered":  # so that a sample at even steps is not like the rest
        b = b.abs().sort().values
    elif kind == "ties":
        b = b.mul(3).round()
    elif kind != "normal":
        a = torch.randn(size, generator=generator).mul(20)
        a, b = (a.bfloat16(), b.bfloat16()) if kind == "bfloat16" else (a.half(), b.half())
        b = b.float() if kind == "mixed" else b
    rank = max(round(share * size), 1)
    assert magnitude_of_rank(a, b, rank) == (b.float() - a.float()).abs().kthvalue(rank).values.item()


@pytest.mark.parametrize("size", [1, 5, LARGE - 1, LARGE, 3 * LARGE])
def test_a_value_at_a_rank_is_that_of_torch_and_nan_is_the_greatest(size):
    values = torch.randn(size, generator=torch.Generator().manual_seed(2)) ** 3
    values[size // 2] = math.nan
    for rank in {1, (size + 1) // 2, max(size - 1, 1)} - ({1} if size == 1 else set()):
        assert value_of_rank(values, rank) == values.kthvalue(rank).values.item()
    assert math.isnan(value_of_rank(values, size))
