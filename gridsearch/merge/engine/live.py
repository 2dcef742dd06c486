"""Merging into the live weights of a model that renders, in place, from the original sources each time."""

import functools
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, pairwise

import torch
from torch import Tensor

from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.merge.engine.backlog import Backlog
from gridsearch.merge.engine.collapse import Terms
from gridsearch.merge.engine.evaluate import (
    Source,
    Sum,
    Work,
    adapters_in,
    find_products,
    needed_sources,
    summands,
    upper_bound,
)
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import Addend, blend_into, new_buffer, require_finite, single_threaded
from gridsearch.merge.engine.sources import LoadedSource

# Below this many elements a second thread costs more in waiting than it saves in arithmetic.
TINY_MERGE = 50_000_000
GROUP_ELEMENTS = 2**26  # of the keys that a thread takes at once
GROUPS_EACH = 4  # that there are at least for each thread, so that all end at the same time
_ONE_COPY = threading.Lock()  # to a Mac's GPU, whose queue the threads share


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
        kept: what no ratio changes, from one merge to the next.
        holds: file key -> the terms that the live weights are; absent where that is not known.
    """

    parts: Mapping[str, Sequence[LiveRows]]
    sources: Mapping[str, Source]
    dtypes: Mapping[str, torch.dtype]
    greatest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
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
        _on_cpu(live, changed, sizes, terms)


def _on_gpu(live: Live, keys: Sequence[str], terms: Mapping[str, Terms], device: torch.device) -> None:
    """Merge on a GPU; sources that lie there need no staging, whose events cost more than the arithmetic."""
    buffer, adapters = new_buffer(device), adapters_in(live.sources)
    here, away = [], {}
    for key in keys:
        needed = needed_sources(terms[key], key, adapters, live.kept, live.dtypes[key])
        held = [live.sources[name] for name in needed]
        if all(isinstance(one, LoadedSource) and one.tensors[key].device == device for one in held):
            here.append((key, live.sources))
        else:
            away[key] = needed
    for key, sources in chain(here, staged(away, live.sources, device)):
        work = _work(live, key, sources, adapters, buffer)
        _settle(live, terms[key], work, _written(live, terms[key], work))


def _on_cpu(live: Live, keys: Sequence[str], sizes: Mapping[str, int], terms: Mapping[str, Terms]) -> None:
    """Merge on a CPU, one thread per core with keys of its own: small operations are not worth sharing."""
    total = sum(sizes.values())
    threads = torch.get_num_threads() if total >= TINY_MERGE else 1
    own, adapters = threading.local(), adapters_in(live.sources)

    def write(group: Sequence[str]) -> None:
        if not hasattr(own, "buffer"):
            own.buffer = new_buffer()
        each = [(terms[key], _work(live, key, live.sources, adapters, own.buffer)) for key in group]
        find_products(each)
        later = Backlog()
        found = [_written(live, *one, later) for one in each]
        later.write()
        for one, own_sum in zip(each, found, strict=True):
            _settle(live, *one, own_sum)

    groups = _groups(keys, sizes, min(GROUP_ELEMENTS, total // (GROUPS_EACH * threads)))
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(write, groups) if threads > 1 else map(write, groups):
            pass  # an error is raised here


def _groups(keys: Sequence[str], sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Yield the keys in groups of so many elements, or of one key that has more."""
    group, size = list[str](), 0
    for key in keys:
        if group and size + sizes[key] > most:
            yield group
            group, size = [], 0
        group.append(key)
        size += sizes[key]
    if group:
        yield group


def _work(
    live: Live, key: str, sources: Mapping[str, Source], adapters: frozenset[str], buffer: Tensor
) -> Work:
    return Work(key, sources, adapters, live.dtypes[key], buffer, live.kept, live.greatest)


def _written(live: Live, terms: Terms, work: Work, later: Backlog | None = None) -> Sum:
    """Write a key's merge, or leave it to `later`, and return the sum that it is."""
    found = summands(terms, work)
    weights = [one.weight for one in found.values()]
    for part in live.parts[work.key]:
        rows = [_rows(one.tensor, part.rows) for one in found.values()]
        view = merged_in(part.view, work.buffer.device)
        if view is part.view:
            blend_into(view, rows, weights, work.dtype, work.buffer, later)
            continue
        blend_into(view, rows, weights, work.dtype, work.buffer)
        with _ONE_COPY:
            part.view.copy_(view)
    return found


def _rows(tensor: Addend, rows: slice) -> Addend:
    return tensor[rows] if tensor.ndim and rows != slice(None) else tensor


def _settle(live: Live, terms: Terms, work: Work, found: Sum) -> None:
    """Note what a key's weights hold now; a RunFailed where they are not finite."""
    kept_in = [work.dtype, *(part.view.dtype for part in live.parts[work.key])]
    if not upper_bound(found) < min(map(_most, kept_in)):
        for part in live.parts[work.key]:
            require_finite(part.view, work.key)
    live.holds[work.key] = terms


@functools.cache
def _most(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).max


def merged_in(view: Tensor, device: torch.device) -> Tensor:
    """Return what is merged into: the live weights, or where they lie on a Mac's GPU, a tensor to be copied.

    That GPU knows no float64, and rounds in its own ways.
    """
    return view if view.device == device else torch.empty_like(view, device=device)


# -- the staging of sources to a GPU: the next key is copied while this one is merged


def staged(
    needed: Mapping[str, Collection[str]], sources: Mapping[str, Source], device: torch.device
) -> Iterator[tuple[str, Mapping[str, Source]]]:
    """Yield each key with the tensors of the sources that it needs on the device, copied one key ahead.

    Copies from pinned memory overlap with the arithmetic; others do not, and what is on the device already
    is not copied.
    """
    main, aside = torch.cuda.current_stream(device), _side_stream(device)
    upcoming, merged = None, deque[torch.cuda.Event]()
    for last, key in pairwise([None, *needed, None]):
        current = upcoming
        if len(merged) > 1:
            merged.popleft().synchronize()  # or copies would pile up ahead of the arithmetic
        upcoming = None if key is None else _copy(key, needed[key], sources, main, aside)
        if current is not None:
            main.wait_event(current[1])
            yield last, current[0]
            merged.append(main.record_event())


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream that is kept: memory freed on a stream is used again on that stream only."""
    return torch.cuda.Stream(device)


def _copy(
    key: str,
    names: Collection[str],
    sources: Mapping[str, Source],
    main: torch.cuda.Stream,
    aside: torch.cuda.Stream,
) -> tuple[dict[str, Source], torch.cuda.Event]:
    """Begin to copy a key's tensors of each source; they are there once the event has passed."""
    with torch.cuda.stream(aside):
        copies = dict(sources)  # adapters stay as they are
        for name in names:
            tensor = sources[name].tensor(key).to(aside.device, non_blocking=True)
            tensor.record_stream(main)  # its memory is not given to another before `main` has used it
            copies[name] = LoadedSource({key: tensor})
        return copies, aside.record_event()
