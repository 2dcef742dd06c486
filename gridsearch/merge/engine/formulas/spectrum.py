"""The methods that look at a difference's singular values: all made equal, or only the largest kept.

A matrix is taken as it is, a convolution as a matrix with a row for each output channel. Vectors have no
singular values: their differences are averaged, or added whole.
"""

import torch
from torch import Tensor

from gridsearch.base.errors import RunFailed


def isotropic(a: Tensor, *others: Tensor, ratio: float) -> Tensor:
    """Add the sum of the differences, all its singular values made their mean (Iso-C, Marczak et al. 2025).

    Directions that the sum does not have, but for rounding, stay out of it and of the mean.
    """
    total = torch.stack([other - a for other in others]).sum(0)
    if total.ndim < 2:
        return a.add(total, alpha=ratio / len(others))
    left, values, right = _svd(total)
    rank = int((values > values[0] * max(total.flatten(1).shape) * torch.finfo(values.dtype).eps).sum())
    if rank == 0:
        return a.clone()
    level = values[:rank].mean().item()
    return a.add((left[:, :rank] @ right[:rank]).reshape(a.shape), alpha=ratio * level)


def low_rank(a: Tensor, b: Tensor, ratio: float, rank: int) -> Tensor:
    """Add the matrix of this rank that is nearest to b - a (Eckart & Young 1936)."""
    difference = b - a
    if difference.ndim > 1 and rank < min(difference.flatten(1).shape):
        left, values, right = _svd(difference)
        difference = ((left[:, :rank] * values[:rank]) @ right[:rank]).reshape(a.shape)
    return a.add(difference, alpha=ratio)


def _svd(difference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    try:
        return torch.linalg.svd(difference.flatten(1), full_matrices=False)
    except torch.linalg.LinAlgError as error:
        fix = "Earlier steps may have made it infinite: use smaller ratios."
        raise RunFailed("A difference has no singular values.", why=str(error), fix=fix) from None
