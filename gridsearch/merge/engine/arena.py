"""Memory for tensors that stay: in huge pages, where the system has them.

A first touch of ordinary memory costs a fault for every 4 KB, in all several times as long as a merge of two
models. A tensor is too small for huge pages of its own, so many share a chunk. A tensor's place is free again
once the tensor is gone, for another of the same size.
"""

import contextlib
import mmap
import weakref
from collections import defaultdict
from threading import Lock

import numpy as np
import torch
from torch import Tensor

CHUNK = 2**26  # bytes
_ALIGNED = 64  # bytes
HAS_HUGE_PAGES = hasattr(mmap, "MADV_HUGEPAGE")


class Arena:
    """Chunks of memory, in which tensors of any thread lie."""

    def __init__(self) -> None:
        self._chunk, self._used = memoryview(b""), 0
        self._free: dict[int, list[memoryview]] = defaultdict(list)
        self._lock = Lock()

    def bytes(self, size: int, may_grow: bool) -> Tensor | None:
        """Return so many bytes; None where none are free, and it may not grow."""
        try:
            place = self._free[size].pop()
        except IndexError:
            if not may_grow:
                return None
            place = self._carved(size)
        held = np.frombuffer(place, np.uint8)
        # `append` needs no lock: this may be called while the thread holds it
        weakref.finalize(held, self._free[size].append, place)
        return torch.from_numpy(held)

    def _carved(self, size: int) -> memoryview:
        with self._lock:
            if self._used + size > len(self._chunk):
                pages = mmap.mmap(-1, max(CHUNK, size), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
                with contextlib.suppress(OSError):  # a kernel that was built without them
                    pages.madvise(mmap.MADV_HUGEPAGE)
                self._chunk, self._used = memoryview(pages), 0
            place = self._chunk[self._used : self._used + size]
            self._used += -(-size // _ALIGNED) * _ALIGNED
            return place
