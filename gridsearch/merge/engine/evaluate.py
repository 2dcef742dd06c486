"""The evaluation of terms: the merged tensor of one file key."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from gridsearch.merge.engine.collapse import Node, Terms
from gridsearch.merge.engine.linear import blend
from gridsearch.merge.engine.nonlinear import apply_method


class Source(Protocol):
    """A checkpoint's weights, or an adapter's differences, by file key."""

    def tensor(self, key: str) -> Tensor: ...


def evaluate(
    terms: Terms, key: str, sources: Mapping[str, Source], dtype: torch.dtype, buffer: Tensor
) -> Tensor:
    """Return the sum as a new tensor of the file's shape, rounded once to `dtype`."""
    return blend(*summands(terms, key, sources, buffer), dtype, buffer)


def summands(
    terms: Terms, key: str, sources: Mapping[str, Source], buffer: Tensor
) -> tuple[list[Tensor], list[float]]:
    """Return the tensors that a sum is made of, and their weights; nodes are computed here."""
    tensors = [_summand(source, key, sources, buffer) for source, _ in terms]
    return tensors, [weight for _, weight in terms]


def _summand(source: str | Node, key: str, sources: Mapping[str, Source], buffer: Tensor) -> Tensor:
    if isinstance(source, str):
        return sources[source].tensor(key)
    inputs = [evaluate(terms, key, sources, torch.float32, buffer) for terms in source.inputs]
    return apply_method(source.method, inputs, dict(source.numbers))
