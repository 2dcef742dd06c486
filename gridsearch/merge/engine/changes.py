"""Changes that are kept, in the file's dtype: each is scaled by a power of two, so that small values keep
their bits and the largest fits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.compiled import array, loops_for
from gridsearch.merge.engine.formulas.elections import ChangeAt
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import greatest, pieces
from gridsearch.merge.engine.shelf import Change

MOST_HALF = torch.finfo(torch.float16).max
HEADROOM = 2**6  # by how much other pieces of a change may be greater than the first


@dataclass(frozen=True)
class LowRank:
    """The matrix up [rows, rank] @ down [rank, columns], both float32, flat and by pieces."""

    up: Tensor
    down: Tensor

    def __call__(self, here: slice) -> Tensor:
        width = self.down.shape[1]
        first = here.start // width
        rows = (self.up[first : -(-here.stop // width)] @ self.down).reshape(-1)
        return rows[here.start - first * width : here.stop - first * width]

    def upper_bound(self) -> float:
        """Return what no value's magnitude exceeds, but infinity: what a row's would sum to at the most."""
        least, most = torch.aminmax(self.down, dim=1)
        sums = self.up.abs() @ torch.maximum(-least, most)
        return min(sums.max().item(), torch.finfo(torch.float32).max)


def change_to_keep(
    shape: Sequence[int], piece: ChangeAt, dtype: torch.dtype, device: torch.device, kept: Kept
) -> Change:
    """Return the change of this shape whose pieces these are; its greatest value is NaN where it has one.

    It is kept in a file's dtype `dtype`, or in half precision where that has 8 bits.
    """
    tensor = kept.empty(shape, dtype if dtype.itemsize > 1 else torch.float16, device)
    flat, loops = tensor.view(-1), loops_for(tensor)
    if isinstance(piece, LowRank) and loops:
        scale, top = _product_written(flat, piece, loops)
    else:
        scale, top = _pieces_written(flat, piece)
    return Change(tensor, scale, scale * top)


def _product_written(flat: Tensor, product: LowRank, loops: ModuleType) -> tuple[float, float]:
    """Write a product, scaled, over `flat`; return the scale and the greatest value before it."""
    places = array(flat).reshape(len(product.up), -1)
    up, down = product.up.contiguous().numpy(), product.down.contiguous().numpy()
    scale = _scale(product.upper_bound(), flat.dtype)
    return scale, _float_of(loops.product(places, up, down, np.float32(scale)))


def _pieces_written(flat: Tensor, piece: ChangeAt) -> tuple[float, float]:
    """Write a change, piece by piece and scaled, over `flat`; return what `_product_written` does."""
    scale, top, write = 0.0, 0.0, _writer_of_scaled(flat)
    for _ in range(2):  # again where the first piece did not tell how great the others are
        for here in pieces(flat):
            change = piece(here)
            scale = scale or _scale(HEADROOM * write(here, change, 1.0), flat.dtype)
            if not math.isfinite(highest := write(here, change, scale)):
                return scale, highest
            top = max(top, highest)
        if scale * top <= MOST_HALF:
            break
        scale = _scale(top, flat.dtype)
    return scale, top


def _writer_of_scaled(out: Tensor) -> Callable[[slice, Tensor, float], float]:
    """Return what writes float32 values times a power of two over a slice of a flat tensor, rounded once.

    It returns the largest magnitude of the values, NaN where one is NaN.
    """
    if loops := loops_for(out):
        places = array(out)
        return lambda here, values, scale: _float_of(
            loops.scaled(places[here], values.numpy(), np.float32(scale))
        )

    def write_with_torch(here: slice, values: Tensor, scale: float) -> float:
        out[here].copy_(values.mul(scale))
        return greatest(values)

    return write_with_torch


def _float_of(bits: int) -> float:
    return float(np.int32(bits).view(np.float32))


def _scale(top: float, dtype: torch.dtype) -> float:
    """Return the power of two by which small values keep their bits and the largest fits.

    Below 2**14 in float16, whose largest value is 65,504; no change is so small that 2**64 would not do.
    """
    return 2.0 ** min(14 - math.frexp(top)[1], 64) if dtype == torch.float16 else 1.0
