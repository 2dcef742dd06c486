"""The combinations of differences that elected a sign: their mean, their geometric median, or a model stock.

They come piece by piece, so that hundreds of models take no more memory than a few. All are flat, in float32.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.formulas.differences import elected_mean
from gridsearch.merge.engine.formulas.products import median_weights

ChangeAt = Callable[[slice], Tensor]
AT_ONCE = 2**22  # values of all models together that are worked on at once


def combined(parts: Sequence[ChangeAt], shape: Sequence[int], vote: str, combine: str) -> ChangeAt:
    """Return one change of several: at each place, of those that have the elected sign.

    Their mean is TIES's (Yadav et al. 2023). The geometric median is that of the whole tensors, with zeros
    where a model has not the elected sign. The stock is the mean times model stock's t (Jang et al. 2024) for
    each row of the last dimension, from the cosines of neighbouring models. Both are as in sd-mecha 1.1.8.
    """
    match combine:
        case "median":
            weights = _median(parts, math.prod(shape), vote)
            return _in_steps(lambda here: weights @ _agreeing(parts, here, vote), len(parts))
        case "stock":
            width = shape[-1] if shape else 1
            return _in_steps(lambda here: _stock(_agreeing(parts, here, vote), width), len(parts), width)
    return _in_steps(lambda here: elected_mean([part(here) for part in parts], vote), len(parts))


def summed(parts: Sequence[ChangeAt]) -> ChangeAt:
    """Return the sum of changes."""

    def step(here: slice) -> Tensor:
        total = parts[0](here).clone()
        for part in parts[1:]:
            total.add_(part(here))
        return total

    return step


def _steps(here: slice, models: int, width: int) -> Iterator[slice]:
    """Cut a slice, whose ends are multiples of `width`, into some that are so short for so many models."""
    size = max(AT_ONCE // models // width, 1) * width
    for start in range(here.start, here.stop, size):
        yield slice(start, min(start + size, here.stop))


def _in_steps(change: ChangeAt, models: int, width: int = 1) -> ChangeAt:
    """Return the change at any slice, made of steps of whole rows of this width."""

    def piece(here: slice) -> Tensor:
        whole = slice(here.start // width * width, -(-here.stop // width) * width)
        found = [change(step) for step in _steps(whole, models, width)]
        joined = found[0] if len(found) == 1 else torch.cat(found)
        return joined[here.start - whole.start : here.stop - whole.start]

    return piece


def _agreeing(parts: Sequence[ChangeAt], here: slice, vote: str) -> Tensor:
    """Return the differences as rows, with zeros where they have not the elected sign."""
    rows = torch.stack([part(here) for part in parts])
    sign = (rows.sign() if vote == "count" else rows).sum(0).sign_()
    return rows.mul_(sign).relu_().mul_(sign)


def _median(parts: Sequence[ChangeAt], count: int, vote: str) -> Tensor:
    """Return the weights of the differences in their geometric median."""
    gram, rows = np.zeros((len(parts), len(parts))), torch.empty(0)
    for here in _steps(slice(0, count), len(parts), 1):
        rows = _agreeing(parts, here, vote)
        gram += (rows @ rows.T).double().cpu().numpy()
    return torch.from_numpy(median_weights(gram)).to(rows)


def _stock(rows: Tensor, width: int) -> Tensor:
    models = rows.view(len(rows), -1, width)
    cosine = torch.cosine_similarity(models[:-1], models[1:], dim=-1, eps=1e-6).mean(0)
    t = len(rows) * cosine / (1 + (len(rows) - 1) * cosine)
    mean = (models.sum(0) * t.unsqueeze(-1)).view(-1) / rows.sign().abs_().sum(0)
    return mean.nan_to_num_(0, 0, 0)
