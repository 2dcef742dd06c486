"""The weights of files in the order in which they lie there, read and hashed ahead of their use."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import torch
from safetensors import safe_open
from torch import Tensor

from gridsearch.checkpoint.header import Checkpoint, TensorInfo
from gridsearch.merge.engine.sources import FileSource

TOGETHER = 2**25  # bytes of a file that are used while the system reads as many

Bytes = Callable[[memoryview], object]


def read_ahead(
    files: Sequence[Checkpoint], keys: Sequence[str], hashed: Bytes | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Yield the weights of some keys at a time, of each key in all files, in the order of the first file.

    They are views of mapped files. `hashed` is given the bytes of the first file's, in a thread.
    """
    sources, places = [FileSource(file) for file in files], [_places(file) for file in files]
    wanted = set(keys)
    groups = _groups([key for key in places[0] or keys if key in wanted], files[0].tensors)
    with ThreadPoolExecutor(1) as thread:
        for some, following in zip_longest(groups, groups[1:], fillvalue=()):
            for file, place in zip(files, places, strict=True):
                _ask_for(file, [place[key] for key in following if place])
            found = {key: [source.tensor(key) for source in sources] for key in some}
            hashing = thread.submit(_feed, hashed, [own[0] for own in found.values()]) if hashed else None
            yield found
            if hashing:
                hashing.result()


def _places(file: Checkpoint) -> dict[str, range]:
    """Return the bytes of each weight, in their order; of a model that is no plain single file, none.

    They fill a file from the end of its header on without gaps.
    """
    if file.parts or file.pieces:
        return {}
    with file.path.open("rb") as opened:
        at = 8 + int.from_bytes(opened.read(8), "little")
    found = {}
    with safe_open(file.path, framework="numpy") as mapped:
        for key in mapped.offset_keys():
            found[key] = range(at, at := at + file.tensors[key].bytes)
    return found


def _groups(keys: Sequence[str], infos: Mapping[str, TensorInfo]) -> list[tuple[str, ...]]:
    groups: list[tuple[str, ...]] = []
    size = TOGETHER
    for key in keys:
        if size >= TOGETHER:
            groups.append(())
            size = 0
        groups[-1] += (key,)
        size += infos[key].bytes
    return groups


def _ask_for(file: Checkpoint, places: Sequence[range]) -> None:
    """Have the system read these bytes while others are used, where it can be asked to."""
    if places and hasattr(os, "posix_fadvise"):
        start, end = min(place.start for place in places), max(place.stop for place in places)
        with file.path.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), start, end - start, os.POSIX_FADV_WILLNEED)


def _feed(hashed: Bytes, tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        if tensor.numel():
            hashed(tensor.reshape(-1).view(torch.uint8).numpy().data)
