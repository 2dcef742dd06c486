"""The evaluation of terms at one file key: a sum of tensors, to which non-linear steps are reduced.

A step of a method in `SUMS` is a sum of its inputs. One of a method in `CHANGES` adds ratio times a change
that no ratio changes to its first input, and so does an adapter. The change is kept in the file's dtype: to
add it takes as long as to merge two models. A method's in `MADE_HERE` is made wherever it is added. Other
methods are functions of whole tensors, which are kept in float32 where nothing in them is searched.
"""

import functools
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from gridsearch.experiment.methods import ADAPTER
from gridsearch.merge.engine.changes import change_to_keep
from gridsearch.merge.engine.collapse import SUM, Node, Terms
from gridsearch.merge.engine.formulas.elections import ChangeAt
from gridsearch.merge.engine.formulas.products import Products, products, products_of_all
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import Addend, MadeHere, blend, greatest, not_finite
from gridsearch.merge.engine.methods import CHANGES, FUNCTIONS, MADE_HERE, factors, is_sum
from gridsearch.merge.engine.shelf import Change


class Source(Protocol):
    """A checkpoint's weights, or an adapter's differences, by file key."""

    def tensor(self, key: str) -> Tensor: ...


@runtime_checkable
class AdapterSource(Source, Protocol):
    """An adapter, whose tensors are differences and are computed when they are asked for."""

    def pieces(self, key: str) -> tuple[Sequence[int], ChangeAt]:
        """Return the shape of a change that does not depend on the weight, and the pieces of it."""

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
    adapters: frozenset[str]
    dtype: torch.dtype
    buffer: Tensor
    kept: Kept = field(default_factory=Kept)
    greatest: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Summand:
    """A tensor with its factor, and the largest absolute value in it; infinity where that is not known."""

    tensor: Addend
    weight: float
    greatest: float = math.inf


# Summands by what they are, so that no tensor is read twice.
Sum = Mapping[Hashable, Summand]


def evaluate(
    terms: Terms, key: str, sources: Mapping[str, Source], dtype: torch.dtype, buffer: Tensor
) -> Tensor:
    """Return the merge as a new tensor of the file's shape, rounded once to `dtype`."""
    found = summands(terms, Work(key, sources, adapters_in(sources), dtype, buffer)).values()
    return blend([one.tensor for one in found], [one.weight for one in found], dtype, buffer)


def adapters_in(sources: Mapping[str, Source]) -> frozenset[str]:
    """Return the sources that are adapters."""
    return frozenset(name for name, one in sources.items() if isinstance(one, AdapterSource))


def summands(terms: Terms, work: Work) -> Sum:
    """Return the sum that terms are; nodes are reduced to sums here, or computed."""
    if len(terms) == 1 and terms[0][1] == 1:
        return _of(terms[0][0], work)
    return _added([_of(source, work) for source, _ in terms], [weight for _, weight in terms])


def _added(sums: Iterable[Sum], weights: Iterable[float]) -> Sum:
    """Return a weighted sum of sums; what has no weight is left out."""
    found: dict[Hashable, Summand] = {}
    for own, weight in zip(sums, weights, strict=True):
        for label, one in own.items():
            before = found[label].weight if label in found else 0.0
            found[label] = Summand(one.tensor, before + weight * one.weight, one.greatest)
    return {label: one for label, one in found.items() if one.weight} or found


def upper_bound(found: Sum) -> float:
    """Return what no value of a sum exceeds; infinity where that is not known."""
    return sum(abs(one.weight) * one.greatest for one in found.values())


def needed_sources(
    terms: Terms, key: str, adapters: Collection[str], kept: Kept, dtype: torch.dtype
) -> set[str]:
    """Return the models whose tensors `summands` will ask for."""
    found: set[str] = set()
    for source, _ in terms:
        if not isinstance(source, Node):
            found |= {source} - set(adapters)
        elif not kept.has(key, source) and (source.method != ADAPTER or not kept.has(key, (source, dtype))):
            for own in source.inputs[:1] if kept.has(key, _label(source, dtype)) else source.inputs:
                found |= needed_sources(own, key, adapters, kept, dtype)
    return found


def _of(source: str | Node, work: Work) -> Sum:
    """Return a model's tensor, an adapter's change, or a step's sum."""
    if isinstance(source, Node) and source.method != ADAPTER:
        return _of_node(source, work)
    if isinstance(source, str) and source not in work.adapters:
        known = work.greatest.get(source, {}).get(work.key, math.inf)
        return {source: Summand(_read(source, work), 1.0, known)}
    lasting = isinstance(source, str) or not source.varies
    return _kept((source, work.dtype), lambda: _of_adapter(source, work), 1.0, work, lasting)


def _of_adapter(adapter: str | Node, work: Work) -> tuple[Sequence[int], ChangeAt]:
    """Return the shape of an adapter's change at strength one, and its pieces."""
    device = work.buffer.device
    if isinstance(adapter, str):
        shape, piece = cast(AdapterSource, work.sources[adapter]).pieces(work.key)
        return shape, piece if device.type == "cpu" else lambda here: piece(here).to(device)
    source = cast(AdapterSource, work.sources[dict(adapter.numbers)["adapter"]])
    change = source.change(work.key, _tensor(summands(adapter.inputs[0], work), work).float())
    return change.shape, lambda here: change.reshape(-1)[here]


def _read(name: str, work: Work) -> Tensor:
    """Return a source's tensor where the merge is made.

    It lies elsewhere where it was not expected to be needed: what was kept had to make room in this merge.
    """
    return work.sources[name].tensor(work.key).to(work.buffer.device)


def _of_node(node: Node, work: Work) -> Sum:
    numbers = dict(node.numbers)
    inner = replace(work, dtype=torch.float32)  # what a step is made of is not rounded for it
    if is_sum(node.method, numbers):
        parts = [summands(own, inner) for own in node.inputs]
        known = work.kept.find(work.key, node.inputs, lambda: products([_tensor(own, work) for own in parts]))
        return _added(parts, factors(node.method, known, numbers))
    if node.method in MADE_HERE:
        return _of_made(node, work)
    if node.method in CHANGES:
        first, ratio = summands(node.inputs[0], work), numbers.pop("ratio")
        lasting, label = node.varies <= {"ratio"}, _label(node, work.dtype)
        change = _kept(label, lambda: _of_step(node, numbers, first, work), ratio, work, lasting)
        return _added([first, change], [1.0, 1.0])
    if node.varies:
        return {node: Summand(_computed(node, inner), 1.0)}
    made = work.kept.find(work.key, node, lambda: _whole(node, replace(inner, kept=Kept())), lasting=True)
    return {node: Summand(made.tensor.to(work.buffer.device), 1.0, made.greatest)}


def find_products(each: Iterable[tuple[Terms, Work]]) -> None:
    """Find the products of models that `summands` would look for at these keys, of all of them together."""
    wanted = [(work, *one) for terms, work in each for one in _unknown_products(terms, work)]
    for (work, inputs, _), made in zip(wanted, products_of_all([one[2] for one in wanted]), strict=True):
        _keep(made, inputs, work)


def _keep(made: Products, inputs: Hashable, work: Work) -> None:
    work.kept.find(work.key, inputs, lambda: made)


def _unknown_products(terms: Terms, work: Work) -> Iterator[tuple[Hashable, list[Tensor]]]:
    """Yield the inputs of steps whose products are not known, and their tensors, where these are models."""
    for inputs, models in _sums_of_models(terms, work.adapters):
        if not work.kept.has(work.key, inputs):
            yield inputs, [_read(name, work) for name in models]


@functools.lru_cache(2**10)  # most keys have the same terms
def _sums_of_models(terms: Terms, adapters: frozenset[str]) -> tuple[tuple[Hashable, list[str]], ...]:
    """Return the inputs of each step here that is a sum of models with factors, and the models' names."""
    found = list[tuple[Hashable, list[str]]]()
    for node, _ in terms:
        if not isinstance(node, Node):
            continue
        for own in node.inputs:
            found += _sums_of_models(own, adapters)
        names = [own[0][0] for own in node.inputs if len(own) == 1 and own[0][1] == 1]
        models = [name for name in names if isinstance(name, str) and name not in adapters]
        if len(models) == len(node.inputs) and is_sum(node.method, dict(node.numbers)):
            found.append((node.inputs, models))
    return tuple(found)


def _of_made(node: Node, work: Work) -> Sum:
    """Return a step's first input with ratio times a change that is made where it is added."""
    inner = replace(work, dtype=torch.float32)
    first, *others = (summands(own, inner if i else work) for i, own in enumerate(node.inputs))
    add, most = MADE_HERE[node.method]
    made = MadeHere([_tensor(own, work) for own in (first, *others)], add)
    change = Summand(made, dict(node.numbers)["ratio"], most * sum(map(upper_bound, others)))
    return _added([first, {_label(node, work.dtype): change}], [1.0, 1.0])


def _computed(node: Node, work: Work) -> Tensor:
    """Return a sum or a function of whole tensors, in float32."""
    tensors = [_tensor(summands(own, work), work).float() for own in node.inputs]
    return tensors[0] if node.method == SUM else FUNCTIONS[node.method](*tensors, **dict(node.numbers))


def _whole(node: Node, work: Work) -> Change:
    """Return the same to be kept; a RunFailed where it has a NaN or an infinity."""
    tensor = _computed(node, work)
    if not math.isfinite(top := greatest(tensor)):
        raise not_finite(work.key)
    return Change(tensor, 1.0, top)


def _of_step(
    node: Node, numbers: Mapping[str, Any], first: Sum, work: Work
) -> tuple[Sequence[int], ChangeAt]:
    """Return the shape of a step's change at ratio one, and its pieces."""
    start, inner = _tensor(first, work), replace(work, dtype=torch.float32)
    others = [_tensor(summands(own, inner), inner) for own in node.inputs[1:]]
    return start.shape, CHANGES[node.method](start, *others, **numbers)


def _tensor(found: Sum, work: Work) -> Tensor:
    """Return a sum as one tensor, in float32 unless it is just a tensor of a file's."""
    each = list(found.values())
    if len(each) == 1 and each[0].weight == 1 and isinstance(each[0].tensor, Tensor):
        return each[0].tensor
    return blend([one.tensor for one in each], [one.weight for one in each], torch.float32, work.buffer)


# -- changes that are kept


def _label(node: Node, dtype: torch.dtype) -> Hashable:
    """Return what a step's change is known by: all but its ratio."""
    return node.method, node.inputs, tuple(item for item in node.numbers if item[0] != "ratio"), dtype


def _kept(
    label: Hashable,
    make: Callable[[], tuple[Sequence[int], ChangeAt]],
    ratio: float,
    work: Work,
    lasting: bool,
) -> Sum:
    """Return ratio times a change that is kept, or is made here."""
    made = work.kept.find(work.key, label, lambda: _change(*make(), work), lasting)
    return {label: Summand(made.tensor.to(work.buffer.device), ratio / made.scale, made.greatest)}


def _change(shape: Sequence[int], piece: ChangeAt, work: Work) -> Change:
    made = change_to_keep(shape, piece, work.dtype, work.buffer.device, work.kept)
    if not math.isfinite(made.greatest):
        raise not_finite(work.key)
    return made
