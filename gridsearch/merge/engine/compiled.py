"""The choice between compiled loops and torch, and torch's tensors as the loops take them."""

import functools
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

WORTH_IT = 2**18  # values; smaller tensors would not repay the second that it takes to import numba
TOWARD, CHANGED, TOTAL = "toward", "changed", "total"  # the loops that write sums
TAKEN = {torch.float16: torch.uint16, torch.bfloat16: torch.int16, torch.float32: torch.float32}


def loops_for(*tensors: Tensor) -> ModuleType | None:
    """Return the module `loops` where it can work on these tensors: large ones of one dtype, on a CPU.

    None also where numba cannot be imported: torch then does the same, in several passes.
    """
    dtype = tensors[0].dtype
    if dtype not in TAKEN or tensors[0].numel() < WORTH_IT:
        return None
    alike = all(one.dtype == dtype and one.device.type == "cpu" and one.is_contiguous() for one in tensors)
    return _loops() if alike else None


@functools.cache
def _loops() -> ModuleType | None:
    try:
        from gridsearch.merge.engine import loops
    except (ImportError, RuntimeError):  # RuntimeError: what is compiled cannot be kept anywhere
        return None
    return loops


def numba_version() -> str:
    """Return numba's version, "none" where it is not installed: sums of products depend on it."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return "none"


def array(tensor: Tensor) -> np.ndarray:
    """Return a contiguous tensor's values, flat and in place."""
    return tensor.view(-1).view(TAKEN[tensor.dtype]).numpy()


def addresses(tensors: Sequence[Tensor]) -> np.ndarray:
    """Return where the tensors lie; they must live on meanwhile."""
    return np.array([one.data_ptr() for one in tensors])
