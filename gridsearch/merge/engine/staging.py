"""The staging of sources to a GPU: the next key is copied while this one is merged."""

import functools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gridsearch.merge.engine.collapse import Terms, sources_in
from gridsearch.merge.engine.evaluate import Source


@dataclass(frozen=True)
class LoadedSource:
    """Weights by file key, wherever they lie."""

    tensors: Mapping[str, Tensor]

    def tensor(self, key: str) -> Tensor:
        return self.tensors[key]


@dataclass(frozen=True)
class _Copies:
    """One key's tensors of each source on the GPU, there once `ready` has passed."""

    key: str
    sources: Mapping[str, LoadedSource]
    ready: torch.cuda.Event


def staged(
    keys: Sequence[str], terms: Mapping[str, Terms], sources: Mapping[str, Source], device: torch.device
) -> Iterator[tuple[str, Mapping[str, Source]]]:
    """Yield each key with its sources' tensors on the device, copied one key ahead.

    Copies from pinned memory overlap with the arithmetic; others do not, and what is on the device already
    is not copied.
    """
    main, aside = torch.cuda.current_stream(device), _side_stream(device)
    upcoming, merged = None, deque[torch.cuda.Event]()
    for key in [*keys, None]:
        current = upcoming
        if len(merged) > 1:
            merged.popleft().synchronize()  # or copies would pile up ahead of the arithmetic
        upcoming = None if key is None else _copy(key, terms[key], sources, main, aside)
        if current is not None:
            main.wait_event(current.ready)
            yield current.key, current.sources
            merged.append(main.record_event())


def is_there(terms: Terms, key: str, sources: Mapping[str, Source], device: torch.device) -> bool:
    """Return whether all sources of a key lie on the device already; inputs of nodes do not."""
    held = [sources[name] for name in sources_in(terms)]
    return all(isinstance(one, LoadedSource) and one.tensors[key].device == device for one in held)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return a stream that is kept: memory freed on a stream is used again on that stream only."""
    return torch.cuda.Stream(device)


def _copy(
    key: str,
    terms: Terms,
    sources: Mapping[str, Source],
    main: torch.cuda.Stream,
    aside: torch.cuda.Stream,
) -> _Copies:
    with torch.cuda.stream(aside):
        copies = {}
        for name in sources_in(terms):
            tensor = sources[name].tensor(key).to(aside.device, non_blocking=True)
            tensor.record_stream(main)  # its memory is not given to another before `main` has used it
            copies[name] = LoadedSource({key: tensor})
        return _Copies(key, copies, aside.record_event())
