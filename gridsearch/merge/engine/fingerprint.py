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

from gridsearch.merge.engine.linear import single_threaded

WORD_BYTES = 8  # bytes of a 64-bit integer; their sum wraps around
PAGE_BYTES = 4096  # bytes of one sum
PIECE_BYTES = 2**22  # bytes that are worked on at once, whole pages
BLOCK = 8  # tensors whose heads are hashed before their sums, which a CPU's thread takes at once
ON_GPU = 64 * BLOCK  # tensors after which a GPU is waited for; one thread keeps it busy


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return ten hex digits of the SHA-256 of names, dtypes, shapes, and a 64-bit sum of each 4096 bytes.

    One element that is changed, or moved to another page of its tensor or to another tensor, always changes
    the hash. Not seen are changes within one page that leave the sum of its 64-bit words as it is: words that
    are swapped there, or two changes that cancel exactly. A tensor that is not contiguous is copied first.
    They are looked up a few at a time, so that a mapping may make them as they are asked for.
    """
    names = sorted(tensors)
    on_gpu = any(tensors[name].is_cuda for name in names[:1])
    threads, together = (1, ON_GPU) if on_gpu else (torch.get_num_threads(), BLOCK)
    digest = hashlib.sha256()
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        tasks = [names[start : start + together] for start in range(0, len(names), together)]
        for found in pool.map(lambda task: _blocks(task, tensors), tasks):
            digest.update(found)
    return digest.hexdigest()[:10]


def tensor_digest(tensor: Tensor) -> bytes:
    """Return the SHA-256 of a tensor's dtype, shape and page sums; what they do not see is told above."""
    digest = hashlib.sha256(json.dumps([str(tensor.dtype), list(tensor.shape)]).encode())
    for sums in _sums_of(tensor):
        digest.update(sums.cpu().numpy().data)
    return digest.digest()


def _blocks(names: Sequence[str], tensors: Mapping[str, Tensor]) -> bytes:
    """Return heads and page sums of each block of these tensors; a GPU is waited for once."""
    heads, sums, counts = [], [], []
    for name in names:
        tensor = tensors[name]
        heads.append((name, str(tensor.dtype), list(tensor.shape)))
        own = list(_sums_of(tensor))
        sums += own
        counts.append(sum(len(one) for one in own))
    together = torch.cat(sums).cpu() if sums else torch.empty(0, dtype=torch.int64)
    found, start = b"", 0
    for first in range(0, len(names), BLOCK):
        end = start + sum(counts[first : first + BLOCK])
        found += json.dumps(heads[first : first + BLOCK]).encode() + together[start:end].numpy().tobytes()
        start = end
    return found


def _sums_of(tensor: Tensor) -> Iterator[Tensor]:
    held = tensor.detach()
    data = (held.cpu() if held.device.type == "mps" else held).reshape(-1).view(torch.uint8)
    for piece in data.split(PIECE_BYTES):
        whole = piece.numel() // PAGE_BYTES * PAGE_BYTES
        if whole:
            pages = piece[:whole] if piece.storage_offset() % WORD_BYTES == 0 else piece[:whole].clone()
            yield pages.view(torch.int64).view(-1, PAGE_BYTES // WORD_BYTES).sum(1)
        if whole < piece.numel():
            last = torch.zeros(PAGE_BYTES, dtype=torch.uint8, device=piece.device)
            last[: piece.numel() - whole] = piece[whole:]
            yield last.view(torch.int64).sum(0, keepdim=True)
