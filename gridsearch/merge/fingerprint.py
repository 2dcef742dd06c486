"""A fingerprint of weights: ten hex digits that differ where any of them does.

Bits are summed as whole numbers, so it is the same on a CPU and on a GPU, for any number of threads and in
any order of the tensors; a NaN is its bits. Each weight is read once, at the speed of the memory.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from gridsearch.merge.linear import single_threaded

WORD = 8  # bytes of a 64-bit integer; their sum wraps around
PAGE = 4096  # bytes of one sum
PIECE = 2**22  # bytes that are worked on at once, whole pages
TASK = 2**25  # bytes at least that a thread takes, or that are summed before a GPU is waited for


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Ten hex digits of the SHA-256 of names, dtypes, shapes, and a 64-bit sum of each 4096 bytes.

    One element that is changed, or moved to another page of its tensor or to another tensor, always changes
    the hash. Not seen are changes within one page that leave the sum of its 64-bit words as it is: words that
    are swapped there, or two changes that cancel exactly. A tensor that is not contiguous is copied first.
    """
    names = sorted(tensors)
    heads = [(name, str(tensors[name].dtype), list(tensors[name].shape)) for name in names]
    digest = hashlib.sha256(json.dumps(heads).encode())
    for sums in _summed(list(_tasks([tensors[name] for name in names]))):
        digest.update(sums.numpy())
    return digest.hexdigest()[:10]


def _summed(tasks: Sequence[Sequence[Tensor]]) -> Iterator[Tensor]:
    """The page sums of each task, in order; on a CPU one thread a core."""
    on_cpu = all(tensor.device.type == "cpu" for task in tasks for tensor in task)
    threads = torch.get_num_threads() if on_cpu else 1
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(_page_sums, tasks)


def _tasks(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of tensors large enough that starting a task does not count."""
    task, taken = [], 0
    for tensor in tensors:
        task.append(tensor)
        taken += tensor.nbytes
        if taken >= TASK:
            yield task
            task, taken = [], 0
    if task:
        yield task


def _page_sums(tensors: Sequence[Tensor]) -> Tensor:
    """The sums of all pages of these tensors, one after another; a GPU is waited for once."""
    found = [sums for tensor in tensors for sums in _sums_of(tensor)]
    return torch.cat(found).cpu() if found else torch.empty(0, dtype=torch.int64)


def _sums_of(tensor: Tensor) -> Iterator[Tensor]:
    data = tensor.detach().reshape(-1).view(torch.uint8)
    for piece in data.split(PIECE):
        whole = piece.numel() // PAGE * PAGE
        if whole:
            pages = piece[:whole] if piece.storage_offset() % WORD == 0 else piece[:whole].clone()
            yield pages.view(torch.int64).view(-1, PAGE // WORD).sum(1)
        if whole < piece.numel():
            last = torch.zeros(PAGE, dtype=torch.uint8, device=piece.device)
            last[: piece.numel() - whole] = piece[whole:]
            yield last.view(torch.int64).sum(0, keepdim=True)
