"""Sums of large tensors that compiled loops write one after another.

Between two of them Python is slow, as the first one has pushed all else out of a core's cache: what takes 25
microseconds otherwise takes 150 there, a tenth of the time of a merge of two models.
"""

from collections import defaultdict
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.compiled import TAKEN, addresses, array, loops_for

_Alike = tuple[ModuleType, str, torch.dtype, torch.dtype, int]
_Row = tuple[Tensor, Sequence[Tensor], Sequence[float]]  # out, tensors, weights


class Backlog:
    """Sums to be written, by the loop that does it, the types of their tensors and how many these are."""

    def __init__(self) -> None:
        self._rows: dict[_Alike, list[_Row]] = defaultdict(list)

    def take(self, kind: str, out: Tensor, tensors: Sequence[Tensor], weights: Sequence[float]) -> bool:
        """Take a sum to be written over `out`, and return whether compiled loops serve.

        All are flat and contiguous, and lie in memory until `write`. `kind` names the loop.
        """
        if len(tensors) < 2 or out.dtype not in TAKEN or not (loops := loops_for(*tensors)):
            return False
        alike = loops, kind, out.dtype, tensors[0].dtype, len(tensors)
        self._rows[alike].append((out, tensors, weights))
        return True

    def write(self) -> None:
        """Write all that were taken."""
        for (loops, kind, *_), rows in self._rows.items():
            outs, tensors, weights = zip(*rows, strict=True)
            sources = np.stack([addresses(each) for each in tensors])
            sizes, factors = np.array([out.numel() for out in outs]), np.array(weights, np.float32)
            likes = array(outs[0][:1]), array(tensors[0][0][:1])
            getattr(loops, kind)(addresses(outs), sizes, sources, factors, *likes)
        self._rows.clear()
