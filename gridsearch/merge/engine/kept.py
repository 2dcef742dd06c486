"""Values that the merges of a run keep, because no ratio changes them."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from gridsearch.merge.engine.arena import HAS_HUGE_PAGES, Arena
from gridsearch.merge.engine.shelf import Change, Shelf

Value = TypeVar("Value")
# Values of a key; those of earlier trials, where an input of a step is searched, are not used again.
MOST = 64
LEAST_BYTES = 2**16  # bytes of a tensor that has a place in the arena


class Kept:
    """Values by file key and by what they are: numbers, and tensors as far as there is room.

    Where it is full, a new tensor takes the place of the same key's that was not used for longest, or is not
    kept; one that lasts, as nothing in it is searched, then goes to the shelf, if there is one. Several
    threads may work on different keys.
    """

    def __init__(self, room: int = 0, shelf: Shelf | None = None) -> None:
        self._room = room  # bytes for tensors
        self._shelf = shelf
        self._values: dict[str, OrderedDict[Hashable, object]] = {}
        self._arena = Arena()
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a new tensor of any values, which is to be kept."""
        size, made = math.prod(shape) * dtype.itemsize, None
        if device.type == "cpu" and HAS_HUGE_PAGES and size >= LEAST_BYTES:
            made = self._arena.bytes(size, may_grow=size <= self._room)
        if made is None:
            return torch.empty(tuple(shape), dtype=dtype, device=device)
        return made.view(dtype).view(tuple(shape))

    def has(self, key: str, label: Hashable) -> bool:
        """Return whether this value is kept."""
        is_here = label in self._values.get(key, ())
        return is_here or (self._shelf is not None and self._shelf.has(key, label))

    def find(self, key: str, label: Hashable, make: Callable[[], Value], lasting: bool = False) -> Value:
        """Return this value, which is made where it is not kept."""
        own = self._values.setdefault(key, OrderedDict())
        if label in own:
            own.move_to_end(label)
            return own[label]  # type: ignore[return-value]  # what was made under this label
        if lasting and self._shelf and (shelved := self._shelf.find(key, label)):
            return shelved  # type: ignore[return-value]  # what lasts are tensors
        value = make()
        with self._lock:
            size = _bytes(value)
            while size > self._room and (oldest := next((one for one in own if _bytes(own[one])), None)):
                self._room += _bytes(own.pop(oldest))
            if size <= self._room:
                self._room -= size
                own[label] = value
                if len(own) > MOST:
                    self._room += _bytes(own.popitem(last=False)[1])
                return value
        if lasting and self._shelf and isinstance(value, Change):
            self._shelf.put(key, label, value)
        return value


def _bytes(value: object) -> int:
    return value.tensor.nbytes if isinstance(value, Change) else 0
