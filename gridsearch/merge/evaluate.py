"""Terms -> a tensor: what the merge is at one file key."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from gridsearch.merge.collapse import Node, Terms
from gridsearch.merge.linear import Scratch, blend
from gridsearch.merge.methods import apply_method


class Source(Protocol):
    """A checkpoint's weights, or an adapter's differences, by file key."""

    def tensor(self, key: str) -> Tensor: ...


def evaluate(
    terms: Terms, key: str, sources: Mapping[str, Source], dtype: torch.dtype, scratch: Scratch
) -> Tensor:
    """The sum as a new tensor of the file's shape, rounded once to `dtype`."""
    return blend(*summands(terms, key, sources, scratch), dtype, scratch)


def summands(
    terms: Terms, key: str, sources: Mapping[str, Source], scratch: Scratch
) -> tuple[list[Tensor], list[float]]:
    """The tensors that a sum is made of, and their weights; what a node stands for is computed here."""
    tensors = [_summand(source, key, sources, scratch) for source, _ in terms]
    return tensors, [weight for _, weight in terms]


def _summand(source: str | Node, key: str, sources: Mapping[str, Source], scratch: Scratch) -> Tensor:
    if isinstance(source, str):
        return sources[source].tensor(key)
    inputs = [evaluate(terms, key, sources, torch.float32, scratch) for terms in source.inputs]
    return apply_method(source.method, inputs, dict(source.numbers))
