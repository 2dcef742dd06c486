"""The evaluation of terms at one file key: a sum of tensors, to which non-linear steps are reduced.

A step of a method in `SUMS` is a sum of its inputs. One of a method in `CHANGES` lies on the line from its
first input to a point that no ratio changes: a + r d = (1 - r / c) a + (r / c) (a + c d), and so does a model
with an adapter. The point is rounded to the file's dtype, with c so large that this is not seen in the sum:
to add it takes as long as to merge two models. Other methods are functions of whole tensors.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from gridsearch.experiment.methods import ADAPTER
from gridsearch.merge.engine.collapse import Node, Terms
from gridsearch.merge.engine.formulas.elections import ChangeAt
from gridsearch.merge.engine.formulas.products import products
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import blend, greatest, not_finite, pieces
from gridsearch.merge.engine.methods import CHANGES, FUNCTIONS, factors, is_sum

REACHES = (256.0, 1.0, 1 / 256)  # c, of which the first is taken that half precision can hold


class Source(Protocol):
    """A checkpoint's weights, or an adapter's differences, by file key."""

    def tensor(self, key: str) -> Tensor: ...


@runtime_checkable
class AdapterSource(Source, Protocol):
    """An adapter, whose tensors are differences and are computed when they are asked for."""

    def change(self, key: str, base: Tensor) -> Tensor:
        """Return the change of `base` at strength one, float32 and on its device."""


@dataclass(frozen=True)
class Work:
    """The evaluation at one key.

    Attributes:
        dtype: what the file keeps the key in.
        buffer: of `linear.new_buffer`; a thread needs its own.
        greatest: model -> file key -> the largest absolute value there, where it is known.
    """

    key: str
    sources: Mapping[str, Source]
    adapters: Collection[str]
    dtype: torch.dtype
    buffer: Tensor
    kept: Kept = field(default_factory=Kept)
    greatest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summand:
    """A tensor with its factor, and the largest absolute value in it, where that is known."""

    tensor: Tensor
    weight: float
    greatest: float | None = None


# Summands by what they are, so that no tensor is read twice.
Sum = Mapping[Hashable, Summand]


def evaluate(
    terms: Terms, key: str, sources: Mapping[str, Source], dtype: torch.dtype, buffer: Tensor
) -> Tensor:
    """Return the merge as a new tensor of the file's shape, rounded once to `dtype`."""
    found = summands(terms, Work(key, sources, adapters_in(sources), dtype, buffer)).values()
    return blend([one.tensor for one in found], [one.weight for one in found], dtype, buffer)


def adapters_in(sources: Mapping[str, Source]) -> set[str]:
    """Return the sources that are adapters."""
    return {name for name, one in sources.items() if isinstance(one, AdapterSource)}


def summands(terms: Terms, work: Work) -> Sum:
    """Return the sum that terms are; nodes are reduced to sums here, or computed."""
    if pair := _adapted(terms, work.adapters):
        (base, _), (adapter, ratio) = pair
        return _on_line((base, adapter), terms[:1], partial(_of_adapter, adapter, work), ratio, work)
    return _added([_of(source, work) for source, _ in terms], [weight for _, weight in terms])


def _added(sums: Iterable[Sum], weights: Iterable[float]) -> Sum:
    """Return a weighted sum of sums; what has no weight is left out."""
    found: dict[Hashable, Summand] = {}
    for own, weight in zip(sums, weights, strict=True):
        for label, one in own.items():
            before = found[label].weight if label in found else 0.0
            found[label] = replace(one, weight=before + weight * one.weight)
    return {label: one for label, one in found.items() if one.weight} or found


def needed_sources(terms: Terms, key: str, adapters: Collection[str], kept: Kept) -> set[str]:
    """Return the sources whose tensors `summands` will ask for."""
    if (pair := _adapted(terms, adapters)) and kept.has(key, (pair[0][0], pair[1][0])):
        return {str(pair[0][0])}
    found: set[str] = set()
    for source, _ in terms:
        if kept.has(key, source):  # an adapter's change
            continue
        if not isinstance(source, Node):
            found.add(source)
            continue
        for own in source.inputs[:1] if kept.has(key, _label(source)) else source.inputs:
            found |= needed_sources(own, key, adapters, kept)
    return found


def _adapted(terms: Terms, adapters: Collection[str]) -> Terms | None:
    """Return a sum that is just a model and an adapter's change of it."""
    match terms:
        case ((str(base), 1.0), (adapter, _)) if base not in adapters:
            own = adapter in adapters
            return terms if own or (isinstance(adapter, Node) and adapter.method == ADAPTER) else None
    return None


def _of(source: str | Node, work: Work) -> Sum:
    """Return a model's tensor, an adapter's change, or a step's sum."""
    if isinstance(source, Node) and source.method != ADAPTER:
        return _of_node(source, work)
    if isinstance(source, str) and source not in work.adapters:
        known = work.greatest.get(source, {}).get(work.key)
        return {source: Summand(_read(source, work), 1.0, known)}
    scaled = work.kept.find(work.key, source, lambda: _scaled(_delta(source, work), work))
    return {source: Summand(scaled.tensor, 1 / scaled.reach, scaled.greatest)}


def _delta(adapter: str | Node, work: Work) -> Tensor:
    """Return an adapter's change at strength one, in float32."""
    if isinstance(adapter, str):
        return _read(adapter, work)
    source = cast(AdapterSource, work.sources[dict(adapter.numbers)["adapter"]])
    return source.change(work.key, _tensor(summands(adapter.inputs[0], work), work).float())


def _read(name: str, work: Work) -> Tensor:
    """Return a source's tensor where the merge is made.

    It lies elsewhere where it was not expected to be needed: what was kept had to make room in this merge.
    """
    return work.sources[name].tensor(work.key).to(work.buffer.device)


def _of_adapter(adapter: str | Node, work: Work, _start: Tensor) -> ChangeAt:
    change = _delta(adapter, work).reshape(-1)
    return lambda here: change[here]


def _of_node(node: Node, work: Work) -> Sum:
    numbers = dict(node.numbers)
    inner = replace(work, dtype=torch.float32)  # what a step is made of is not rounded for it
    if is_sum(node.method, numbers):
        parts = [summands(own, inner) for own in node.inputs]
        known = work.kept.find(work.key, node.inputs, lambda: products([_tensor(own, work) for own in parts]))
        return _added(parts, factors(node.method, known, numbers))
    if node.method in CHANGES:
        ratio = numbers.pop("ratio")
        change = partial(_of_step, node, numbers, work)
        return _on_line(_label(node), node.inputs[0], change, ratio, work)
    tensors = [_tensor(summands(own, inner), inner).float() for own in node.inputs]
    return {node: Summand(FUNCTIONS[node.method](*tensors, **numbers), 1.0)}


def _of_step(node: Node, numbers: Mapping[str, Any], work: Work, start: Tensor) -> ChangeAt:
    inner = replace(work, dtype=torch.float32)
    others = [_tensor(summands(own, inner), inner) for own in node.inputs[1:]]
    return CHANGES[node.method](start, *others, **numbers)


def _tensor(found: Sum, work: Work) -> Tensor:
    """Return a sum as one tensor, in float32 unless it is just a tensor of a file's."""
    each = list(found.values())
    if len(each) == 1 and each[0].weight == 1:
        return each[0].tensor
    return blend([one.tensor for one in each], [one.weight for one in each], torch.float32, work.buffer)


# -- the line from a tensor through a point


@dataclass(frozen=True)
class Point:
    """A tensor a + c d, or c d alone, with c and its largest absolute value."""

    tensor: Tensor
    reach: float
    greatest: float


def _label(node: Node) -> Hashable:
    return node.method, node.inputs, tuple(item for item in node.numbers if item[0] != "ratio")


def _on_line(
    label: Hashable, start: Terms, change: Callable[[Tensor], ChangeAt], ratio: float, work: Work
) -> Sum:
    """Return start + ratio * change as a sum of the start and of a point that is kept."""
    first = summands(start, work)

    def point() -> Point:
        tensor = _tensor(first, work)
        return _point(tensor, change(tensor), work)

    made = work.kept.find(work.key, label, point)
    share = ratio / made.reach
    return _added([first, {label: Summand(made.tensor, 1.0, made.greatest)}], [1 - share, share])


def _point(start: Tensor, piece: ChangeAt, work: Work) -> Point:
    """Return start + c * change in the dtype that is kept; a RunFailed where it has a NaN or an infinity."""
    tensor = torch.empty(start.shape, dtype=_kept_dtype(work.dtype), device=start.device)
    flat, out = start.reshape(-1), tensor.view(-1)
    for reach in REACHES:
        highest = 0.0
        for here in pieces(flat):
            out[here] = torch.add(flat[here].float(), piece(here), alpha=reach)
            highest = max(highest, top) if math.isfinite(top := greatest(out[here])) else math.inf
        if math.isfinite(highest):
            return Point(tensor, reach, highest)
    raise not_finite(work.key)


def _scaled(change: Tensor, work: Work) -> Point:
    """Return an adapter's change in the kept dtype, times a power of two that saves small values' bits.

    A RunFailed where it has a NaN or an infinity.
    """
    top, dtype = greatest(change), _kept_dtype(work.dtype)
    if not math.isfinite(top):
        raise not_finite(work.key)
    # below 2**14 in float16, whose largest value is 65,504; no change is so small that 2**64 would not do
    reach = 2.0 ** min(14 - math.frexp(top)[1], 64) if dtype == torch.float16 else 1.0
    return Point(change.mul(reach).to(dtype), reach, top * reach)


def _kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the file's dtype, or half precision where that has 8 bits."""
    return dtype if dtype.itemsize > 1 else torch.float16
