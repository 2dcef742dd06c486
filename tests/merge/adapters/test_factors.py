"""The factors of a change, against the decomposition of the whole matrix in float64."""

import pytest
import torch

from gridsearch.merge.adapters.factors import factored

F32 = torch.float32


def noisy(rows: int, columns: int, rank: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)
    return low + 0.1 * torch.randn(rows, columns, generator=generator)


def best_loss(matrix: torch.Tensor, rank: int) -> float:
    """The squares of the singular values beyond the rank: no matrix of that rank is nearer."""
    return float(torch.linalg.svdvals(matrix.double())[rank:].square().sum())


def test_a_small_matrix_is_factored_as_well_as_can_be():
    matrix = noisy(40, 30, 5)
    found = factored(matrix, 3, 1.0, F32, 0)
    assert (tuple(found.up.shape), tuple(found.down.shape), found.rank) == ((40, 3), (3, 30), 3)
    assert found.whole == pytest.approx(float(matrix.double().square().sum()), rel=1e-6)
    assert found.lost == pytest.approx(best_loss(matrix, 3), rel=1e-5)
    measured = float((matrix - found.up @ found.down).double().square().sum())
    assert found.lost == pytest.approx(measured, rel=1e-6)
    torch.testing.assert_close(found.up.norm(dim=0), found.down.norm(dim=1))


def test_a_large_one_is_projected_with_a_loss_near_the_least_and_the_same_for_a_seed():
    """By 1% at most; a tall matrix and a wide one, of which neither is decomposed as a whole."""
    for matrix in (noisy(700, 120, 12), noisy(120, 700, 12)):
        state = torch.get_rng_state()
        first, second = (factored(matrix, 8, 1.0, F32, seed=7) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first.up, second.up)
        assert torch.equal(first.down, second.down)
        assert 0.9999 < first.lost / best_loss(matrix, 8) < 1.01
    exact = factored(noisy(700, 120, 12) * 0 + torch.ones(700, 1) @ torch.arange(120.0)[None], 8, 1.0, F32, 0)
    assert exact.lost < 1e-9 * exact.whole


def test_the_rank_is_the_least_that_keeps_the_share_asked_for():
    """Singular values 4, 2, 1, 0: squares 16, 4, 1 of 21."""
    matrix = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.0]))
    ranks = {energy: factored(matrix, 4, energy, F32, 0).rank for energy in (0.7, 0.77, 0.95, 0.96)}
    assert ranks == {0.7: 1, 0.77: 2, 0.95: 2, 0.96: 3}
    assert factored(matrix, 1, 0.96, F32, 0).rank == 1
    assert factored(matrix, 2, 1.0, F32, 0).lost == pytest.approx(1.0)


def test_a_convolution_is_factored_as_its_rows_and_half_precision_is_told():
    matrix = noisy(16, 6 * 9, 2).reshape(16, 6, 3, 3)
    found = factored(matrix, 2, 1.0, torch.float16, 0)
    assert (tuple(found.up.shape), tuple(found.down.shape)) == ((16, 2, 1, 1), (2, 6, 3, 3))
    product = torch.einsum("or,rihw->oihw", found.up.float()[:, :, 0, 0], found.down.float())
    assert found.lost == pytest.approx(float((matrix - product).square().sum()), rel=1e-4)
    assert found.lost > best_loss(matrix.flatten(1), 2)  # rounded
    assert found.lost < best_loss(matrix.flatten(1), 2) * 1.01
