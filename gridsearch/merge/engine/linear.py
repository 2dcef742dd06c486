"""The linear kernel: a weighted sum of tensors in float32, rounded once.

Large temporaries would page-fault and cost ten times the arithmetic, so it works in pieces that stay in the
cache, on one small buffer that is kept.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from gridsearch.base.errors import RunFailed
from gridsearch.merge.engine.backlog import Backlog
from gridsearch.merge.engine.compiled import CHANGED, TOTAL, TOWARD

# Elements that are worked on at once: so many float32 stay in a CPU's cache, or fill a GPU.
CPU_PIECE, GPU_PIECE = 2**19, 2**24  # half of the first is no less than `compiled.WORTH_IT`

# What torch.lerp and addcmul know on every device; 8-bit floats are not among them.
FUSED_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def pieces(tensor: Tensor) -> Iterator[slice]:
    """Cut a flat tensor, of which an operation of several steps needs some pieces of memory, into slices.

    The rest goes to the last one, so that none but the only one is too small for compiled loops.
    """
    size = CPU_PIECE // 2 if tensor.device.type == "cpu" else GPU_PIECE
    *starts, last = range(0, max(tensor.numel() - size, 0) + 1, size)
    yield from (slice(start, start + size) for start in starts)
    yield slice(last, tensor.numel())


@dataclass(frozen=True)
class MadeHere:
    """A tensor that is a function of others, element by element, and is made wherever it is added.

    Attributes:
        tensors: on one device, of the shape of what is made.
        add: writes `base + weight * made` over `out`, by add(out, base, weight, *tensors), all of them flat.
    """

    tensors: Sequence[Tensor]
    add: Callable[..., None]

    @property
    def shape(self) -> torch.Size:
        return self.tensors[0].shape

    @property
    def ndim(self) -> int:
        return self.tensors[0].ndim

    @property
    def device(self) -> torch.device:
        return self.tensors[0].device

    def __getitem__(self, rows: slice) -> "MadeHere":
        return MadeHere([one[rows] for one in self.tensors], self.add)

    def reshape(self, *shape: int) -> "MadeHere":
        return MadeHere([one.reshape(*shape) for one in self.tensors], self.add)


Addend = Tensor | MadeHere


def new_buffer(device: torch.device | str = "cpu") -> Tensor:
    """Allocate the memory for one piece of a sum; a thread needs its own."""
    # Freed at once: from then on glibc keeps freed temporaries of up to this size, instead of giving each
    # back to the system and page-faulting for the next. The largest size that it learns from is 32 MiB.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    return torch.empty(CPU_PIECE if torch.device(device).type == "cpu" else GPU_PIECE, device=device)


def blend(
    tensors: Sequence[Addend], weights: Sequence[float], dtype: torch.dtype, buffer: Tensor | None = None
) -> Tensor:
    """Return the weighted sum of same-shaped tensors as a new one in `dtype`, rounded once."""
    out = torch.empty(tensors[0].shape, dtype=dtype, device=tensors[0].device)
    blend_into(out, tensors, weights, dtype, buffer if buffer is not None else new_buffer(out.device))
    return out


def blend_into(
    out: Tensor,
    tensors: Sequence[Addend],
    weights: Sequence[float],
    dtype: torch.dtype,
    buffer: Tensor,
    later: Backlog | None = None,
) -> None:
    """Write the weighted sum of same-shaped tensors over `out`, rounded once to `dtype`, then cast.

    With `later`, a sum that it takes is written when that is told to.
    """
    if not out.is_contiguous():
        out.copy_(blend(tensors, weights, dtype, buffer))
        return
    flat, parts = out.view(-1), [tensor.reshape(-1) for tensor in tensors]
    if out.dtype == dtype:
        _write(flat, parts, weights, buffer, later)
        return
    rounded = torch.empty(min(buffer.numel(), out.numel()), dtype=dtype, device=out.device)
    for here in _slices(out, buffer):
        values = rounded[: here.stop - here.start]
        _write(values, [part[here] for part in parts], weights, buffer)
        # on a CPU float16 to bfloat16 is four times as fast by way of float32
        direct = torch.float32 in (out.dtype, dtype)
        flat[here].copy_(values if direct else buffer[: values.numel()].copy_(values))


def _slices(out: Tensor, buffer: Tensor) -> Iterator[slice]:
    """Cut a tensor, flat, into slices that fit into the buffer."""
    size = buffer.numel()
    for start in range(0, out.numel(), size):
        yield slice(start, min(start + size, out.numel()))


def _write(
    out: Tensor,
    addends: Sequence[Addend],
    weights: Sequence[float],
    buffer: Tensor,
    later: Backlog | None = None,
) -> None:
    """Write the weighted sum of flat tensors in the dtype of `out`."""
    tensors = [one for one in addends if isinstance(one, Tensor)]
    if len(tensors) < len(addends):
        _write_made(out, addends, weights, buffer)
    elif len(weights) == 1 and weights[0] == 1:
        out.copy_(tensors[0])
    else:
        kind, ordered, factors = _arranged(tensors, weights, out.dtype)
        backlog = later or Backlog()
        if not backlog.take(kind, out, ordered, factors):
            _write_with_torch(kind, out, ordered, factors, buffer)
        elif backlog is not later:
            backlog.write()


def _write_with_torch(
    kind: str, out: Tensor, tensors: Sequence[Tensor], weights: Sequence[float], buffer: Tensor
) -> None:
    if kind == TOWARD:
        torch.lerp(tensors[0], tensors[1], weights[1], out=out)
        return
    if kind == CHANGED:
        torch.addcmul(tensors[0], tensors[1], tensors[1].new_ones(()), value=weights[1], out=out)
        return
    for here in _slices(out, buffer):
        total = buffer[: here.stop - here.start]
        total.copy_(tensors[0][here]).mul_(weights[0])
        for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
            # narrower floats are widened on the way; there are no sums of 8-bit ones
            part = tensor[here] if tensor.element_size() > 1 else tensor[here].float()
            total.add_(part, alpha=weight)
        out[here].copy_(total)


def _write_made(out: Tensor, addends: Sequence[Addend], weights: Sequence[float], buffer: Tensor) -> None:
    """Write a sum of which some addends are made here: they are added to the sum of the others."""
    tensors = [(one, weight) for one, weight in zip(addends, weights, strict=True) if isinstance(one, Tensor)]
    made = [(one, weight) for one, weight in zip(addends, weights, strict=True) if isinstance(one, MadeHere)]
    *earlier, (last, last_weight) = made
    if not earlier and [weight for _, weight in tensors] == [1]:
        last.add(out, tensors[0][0], last_weight, *last.tensors)
        return
    for here in pieces(out):
        total = torch.zeros(here.stop - here.start, device=out.device)
        if tensors:
            _write(total, [one[here] for one, _ in tensors], [weight for _, weight in tensors], buffer)
        for one, weight in earlier:
            one.add(total, total, weight, *one[here].tensors)
        last.add(out[here], total, last_weight, *last[here].tensors)


def _arranged(
    tensors: Sequence[Tensor], weights: Sequence[float], dtype: torch.dtype
) -> tuple[str, Sequence[Tensor], Sequence[float]]:
    """Return what a sum is, its tensors and their weights, in the order that serves best.

    A pair is summed as operations of torch do it, bit for bit; these are slow on half precision. Two weights
    that sum to one take `torch.lerp` with a Python float: float32 arithmetic rounded once, and exact at 0,
    at 1 and wherever the tensors agree. A tensor with a change takes `torch.addcmul`, whose factor is float32
    as well; that of `torch.add` would be rounded to half precision.
    """
    alike = len(tensors) == 2 and tensors[0].dtype == tensors[1].dtype == dtype and dtype in FUSED_DTYPES
    if alike and weights[0] == 1:
        return CHANGED, tensors, weights
    if alike and math.isclose(sum(weights), 1, rel_tol=1e-12):
        # from the nearer tensor to the other: the smaller weight is the more exact one in float32
        is_nearer = weights[0] >= weights[1]
        return TOWARD, *((tensors, weights) if is_nearer else (tensors[::-1], weights[::-1]))
    return TOTAL, tensors, weights


def greatest(tensor: Tensor) -> float:
    """Return the largest absolute value of a tensor of floats that is not empty; NaN where it holds one.

    `torch.isfinite` would make a tensor of its own and take forty times as long on a CPU.
    """
    low, high = torch.aminmax(tensor if tensor.element_size() > 1 else tensor.float())  # no 8-bit order
    return math.nan if torch.isnan(low) else max(-low.item(), high.item())


def require_finite(tensor: Tensor, key: str) -> None:
    """Fail the trial where a merged weight is NaN or infinite."""
    if not math.isfinite(greatest(tensor)):
        raise not_finite(key)


def not_finite(key: str) -> RunFailed:
    """Return the failure of a trial whose merge has a NaN or an infinity at this key."""
    fix = "Its ratios give values that overflow the file's dtype; use smaller ratios."
    return RunFailed("The merge has non-finite weights.", where=key, fix=fix, kind="not finite")


@contextmanager
def single_threaded() -> Iterator[None]:
    """Make operations use one core each, in threads started meanwhile too.

    The last bits of norms depend on the number of threads: those of live and exported weights must not.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
