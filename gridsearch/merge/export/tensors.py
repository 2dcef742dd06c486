"""The tensors of a merged file, one after the other in its order, a few of them computed at once."""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from gridsearch.checkpoint.family import LATENT_CHANNELS
from gridsearch.checkpoint.header import TensorInfo
from gridsearch.checkpoint.ldm.keys import MARKERS, is_position_ids
from gridsearch.merge.engine.collapse import Terms, sources_in
from gridsearch.merge.engine.evaluate import Source, evaluate
from gridsearch.merge.engine.linear import greatest, new_buffer, require_finite, single_threaded
from gridsearch.merge.engine.sources import DTYPES, FileSource, greatest_value

MOST_AT_ONCE = 4  # tensors being merged: the largest takes half a gigabyte


@dataclass(frozen=True)
class _Channels:
    """Some input channels of another source's convolution."""

    source: Source
    channels: slice

    def tensor(self, key: str) -> Tensor:
        return self.source.tensor(key)[:, self.channels].contiguous()


def tensors_of(
    entries: Mapping[str, TensorInfo],
    terms: Mapping[str, Terms],
    sources: Mapping[str, Source],
    copied_from: Mapping[str, Source],
    kept: Mapping[str, Terms],
) -> Iterator[Tensor]:
    """Yield the tensors in the order of `entries`; the arguments are those of `export_merge`."""

    def one(key: str) -> Tensor:
        if key in terms:
            dtype = DTYPES[entries[key].dtype]
            if key not in kept:
                return _merged(key, terms[key], sources, dtype)
            read_by_all = _merged(key, terms[key], sources, dtype, slice(LATENT_CHANNELS))
            others = _merged(key, kept[key], sources, dtype, slice(LATENT_CHANNELS, None))
            return torch.cat([read_by_all, others], dim=1)
        if is_position_ids(key):  # a copy would bring along what half precision, or a merge, has made of them
            return torch.arange(math.prod(entries[key].shape))
        return torch.empty(0) if key in MARKERS else copied_from[key].tensor(key)

    threads = min(torch.get_num_threads(), MOST_AT_ONCE)
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Tensor]] = deque()
        for key in entries:
            ahead.append(pool.submit(one, key))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _merged(
    key: str,
    terms: Terms,
    sources: Mapping[str, Source],
    dtype: torch.dtype,
    channels: slice | None = None,
) -> Tensor:
    read = dict(sources)
    if channels is not None:  # adapters change those only that all models read
        read |= {n: _Channels(one, channels) for n, one in sources.items() if isinstance(one, FileSource)}
    merged = evaluate(terms, key, read, dtype, new_buffer())
    if not math.isfinite(greatest(merged)):
        for name in sorted(sources_in(terms)):
            if isinstance(source := sources[name], FileSource):
                greatest_value(source.tensor(key), source.header.file_of(key), key)  # names the faulty file
        require_finite(merged, key)
    return merged
