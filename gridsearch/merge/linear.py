"""The linear kernel: a weighted sum of tensors in float32, rounded once.

Large temporaries would page-fault and cost ten times the arithmetic, so it works in pieces that stay in the
cache, on two small buffers that are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridsearch.errors import RunFailed

# Elements that are worked on at once: two float32 buffers of them stay in a CPU's cache, and fill a GPU.
CPU_PIECE, GPU_PIECE = 2**17, 2**24

# What torch.lerp knows on every device; 8-bit floats are not among them.
LERP_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Scratch:
    """Two float32 buffers: the sum so far, and the summand before it is added. One a thread."""

    total: Tensor
    part: Tensor


def new_scratch(device: torch.device | str = "cpu") -> Scratch:
    size = CPU_PIECE if torch.device(device).type == "cpu" else GPU_PIECE
    return Scratch(torch.empty(size, device=device), torch.empty(size, device=device))


def blend(
    tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype, scratch: Scratch | None = None
) -> Tensor:
    """The weighted sum of same-shaped tensors as a new one in `dtype`, rounded once."""
    out = torch.empty(tensors[0].shape, dtype=dtype, device=tensors[0].device)
    blend_into(out, tensors, weights, dtype, scratch or new_scratch(out.device))
    return out


def blend_into(
    out: Tensor, tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype, scratch: Scratch
) -> None:
    """Write the weighted sum of same-shaped tensors over `out`, rounded once to `dtype`, then cast.

    Two weights that sum to one take `torch.lerp` with a Python float: float32 arithmetic rounded once, and
    exact at 0, at 1 and wherever the tensors agree.
    """
    if not out.is_contiguous():
        out.copy_(blend(tensors, weights, dtype, scratch))
    elif len(tensors) == 1 and weights[0] == 1:
        out.copy_(tensors[0] if tensors[0].dtype == dtype else tensors[0].to(dtype))
    elif _is_lerp(tensors, weights, dtype) and out.dtype == dtype:
        _lerp(tensors, weights, out)
    else:
        _in_pieces(out.view(-1), [tensor.reshape(-1) for tensor in tensors], weights, dtype, scratch)


def _lerp(tensors: Sequence[Tensor], weights: Sequence[float], out: Tensor) -> None:
    """From the nearer tensor to the other: the smaller weight is the more exact one in float32."""
    near, far = (0, 1) if weights[0] >= weights[1] else (1, 0)
    torch.lerp(tensors[near], tensors[far], weights[far], out=out)


def _is_lerp(tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype) -> bool:
    if len(tensors) != 2 or weights[0] != 1 - weights[1]:
        return False
    return tensors[0].dtype == tensors[1].dtype == dtype and dtype in LERP_DTYPES


def _in_pieces(
    out: Tensor, tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype, scratch: Scratch
) -> None:
    lerps = _is_lerp(tensors, weights, dtype)
    size = scratch.total.numel()
    rounded = (
        out if out.dtype == dtype else torch.empty(min(size, out.numel()), dtype=dtype, device=out.device)
    )
    for start in range(0, out.numel(), size):
        here = slice(start, min(start + size, out.numel()))
        parts = [tensor[here] for tensor in tensors]
        target = out[here] if rounded is out else rounded[: here.stop - start]
        if lerps:
            _lerp(parts, weights, target)
        else:
            target.copy_(_sum(parts, weights, scratch))
        if rounded is not out:
            out[here].copy_(target)


def _sum(parts: Sequence[Tensor], weights: Sequence[float], scratch: Scratch) -> Tensor:
    count = parts[0].numel()
    total, part = scratch.total[:count], scratch.part[:count]
    total.copy_(parts[0]).mul_(weights[0])
    for tensor, weight in zip(parts[1:], weights[1:], strict=True):
        total.add_(part.copy_(tensor), alpha=weight)
    return total


def greatest(tensor: Tensor) -> float:
    """The largest absolute value of a tensor of floats that is not empty; NaN where it holds one.

    `torch.isfinite` would make a tensor of its own and take forty times as long on a CPU.
    """
    low, high = torch.aminmax(tensor if tensor.element_size() > 1 else tensor.float())  # no 8-bit order
    return math.nan if torch.isnan(low) else max(-low.item(), high.item())


def require_finite(tensor: Tensor, key: str) -> None:
    """Fail the trial where a merged weight is NaN or infinite."""
    if not math.isfinite(greatest(tensor)):
        raise RunFailed(
            "The merge has non-finite weights.",
            where=key,
            fix="Its ratios take some weights out of what the file's precision can hold.",
        )
