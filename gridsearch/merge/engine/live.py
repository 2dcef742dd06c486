"""Merging into the live weights of a model that renders, in place, from the original sources each time."""

import functools
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from gridsearch.checkpoint.sdxl.layout import LiveRows
from gridsearch.merge.engine.collapse import Terms, sources_in
from gridsearch.merge.engine.evaluate import Source, summands
from gridsearch.merge.engine.linear import blend_into, new_buffer, require_finite, single_threaded
from gridsearch.merge.engine.sources import LoadedSource

# Below this many elements a second thread costs more in waiting than it saves in arithmetic.
TINY_MERGE = 50_000_000


@dataclass(frozen=True)
class Live:
    """The weights that render, their sources, and the terms that they hold now.

    Attributes:
        parts: file key -> views onto the live parameters that make it up.
        sources: model or adapter -> its weights.
        dtypes: what an exported file keeps each key in. Values are rounded to that before they are widened
            to the live dtype, so that the live model equals the exported file loaded again, bit for bit. (All
            but a VAE that is kept in float32 in its file and in a half-precision model: diffusers loads it by
            way of half precision.)
        greatest: model -> file key -> the largest absolute value there, where it is known.
        holds: file key -> the terms that the live weights are; absent where that is not known.
    """

    parts: Mapping[str, Sequence[LiveRows]]
    sources: Mapping[str, Source]
    dtypes: Mapping[str, torch.dtype]
    greatest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    holds: dict[str, Terms] = field(default_factory=dict)


def stale_keys(live: Live, terms: Mapping[str, Terms]) -> list[str]:
    """Return the keys whose weights do not hold these terms."""
    return [key for key in live.parts if live.holds.get(key) != terms[key]]


def merge_live(live: Live, terms: Mapping[str, Terms]) -> None:
    """Write the merge with these terms over the live weights, for the stale keys only.

    A RunFailed where a merged weight is NaN or infinite: it could only draw black.
    """
    sizes = {key: sum(part.view.numel() for part in live.parts[key]) for key in stale_keys(live, terms)}
    for key in sizes:
        live.holds.pop(key, None)
    changed = sorted(sizes, key=sizes.__getitem__, reverse=True)
    device = next(iter(live.parts.values()))[0].view.device
    if device.type == "cuda":
        _on_gpu(live, changed, terms, device)
    else:
        _on_cpu(live, changed, terms, is_tiny=sum(sizes.values()) < TINY_MERGE)


def _on_gpu(live: Live, keys: Sequence[str], terms: Mapping[str, Terms], device: torch.device) -> None:
    """Merge on a GPU; sources that lie there need no staging, whose events cost more than the arithmetic."""
    buffer = new_buffer(device)
    away = []
    for key in keys:
        held = [live.sources[name] for name in sources_in(terms[key])]  # those of inputs of nodes too
        if all(isinstance(one, LoadedSource) and one.tensors[key].device == device for one in held):
            _write(live, key, terms[key], live.sources, buffer)
        else:
            away.append(key)
    for key, sources in staged(away, terms, live.sources, device):
        _write(live, key, terms[key], sources, buffer)


def _on_cpu(live: Live, keys: Sequence[str], terms: Mapping[str, Terms], is_tiny: bool) -> None:
    """Merge on a CPU, one thread per core with keys of its own: small operations are not worth sharing."""
    threads = 1 if is_tiny else torch.get_num_threads()
    own = threading.local()

    def write(key: str) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = new_buffer()
        _write(live, key, terms[key], live.sources, own.buffer)

    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(write, keys) if threads > 1 else map(write, keys):
            pass  # an error is raised here


def _write(live: Live, key: str, terms: Terms, sources: Mapping[str, Source], buffer: Tensor) -> None:
    tensors, weights = summands(terms, key, sources, buffer)
    for part in live.parts[key]:
        rows = [tensor[part.rows] if tensor.ndim else tensor for tensor in tensors]
        blend_into(part.view, rows, weights, live.dtypes[key], buffer)
    if not _bounded(live, key, terms):
        for part in live.parts[key]:
            require_finite(part.view, key)
    live.holds[key] = terms


def _bounded(live: Live, key: str, terms: Terms) -> bool:
    """Return whether no value can overflow, by the sources' largest values."""
    bound = 0.0
    for source, weight in terms:
        greatest = live.greatest.get(source, {}).get(key) if isinstance(source, str) else None
        if greatest is None:
            return False
        bound += abs(weight) * greatest
    kept = [live.dtypes[key], *(part.view.dtype for part in live.parts[key])]
    return bound < min(torch.finfo(dtype).max for dtype in kept)


# -- the staging of sources to a GPU: the next key is copied while this one is merged


def staged(
    keys: Sequence[str], terms: Mapping[str, Terms], sources: Mapping[str, Source], device: torch.device
) -> Iterator[tuple[str, Mapping[str, Source]]]:
    """Yield each key with its sources' tensors on the device, copied one key ahead.

    Copies from pinned memory overlap with the arithmetic; others do not, and what is on the device already
    is not copied.
    """
    main, aside = torch.cuda.current_stream(device), _side_stream(device)
    upcoming, merged = None, deque[torch.cuda.Event]()
    for last, key in pairwise([None, *keys, None]):
        current = upcoming
        if len(merged) > 1:
            merged.popleft().synchronize()  # or copies would pile up ahead of the arithmetic
        upcoming = None if key is None else _copy(key, terms[key], sources, main, aside)
        if current is not None:
            main.wait_event(current[1])
            yield last, current[0]
            merged.append(main.record_event())


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream that is kept: memory freed on a stream is used again on that stream only."""
    return torch.cuda.Stream(device)


def _copy(
    key: str, terms: Terms, sources: Mapping[str, Source], main: torch.cuda.Stream, aside: torch.cuda.Stream
) -> tuple[dict[str, Source], torch.cuda.Event]:
    """Begin to copy a key's tensors of each source; they are there once the event has passed."""
    with torch.cuda.stream(aside):
        copies = dict(sources)  # adapters whose change is computed from the weight stay as they are
        for name in sources_in(terms):
            tensor = sources[name].tensor(key).to(aside.device, non_blocking=True)
            tensor.record_stream(main)  # its memory is not given to another before `main` has used it
            copies[name] = LoadedSource({key: tensor})
        return copies, aside.record_event()
