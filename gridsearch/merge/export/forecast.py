"""The forecast of a single merge: what it reads, its time and its memory.

The time is measured on some of its tensors, whose pages are read for it; the rest is by their sizes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from gridsearch.base.errors import BadInput
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.channels import channel_notes
from gridsearch.merge.engine.collapse import SUM, Node, Terms, sources_in
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.formulas.elections import AT_ONCE
from gridsearch.merge.engine.linear import new_buffer, single_threaded
from gridsearch.merge.engine.methods import MADE_HERE
from gridsearch.merge.engine.sources import DTYPES
from gridsearch.merge.export.tensors import MOST_AT_ONCE
from gridsearch.merge.parents import Parents, open_parents
from gridsearch.merge.vae import vae_notes
from gridsearch.merge.weights import Weights, open_weights

SAMPLED = 5.0  # seconds, within which tensors are merged to know the time
_ANY_TIME = 2**12  # weights of a tensor that takes no time, and whose time says nothing of larger ones
_SVD = ("isotropic", "low_rank")  # whose time grows with the shorter side of a matrix too
_DRAWN = ("dare_linear", "dare_ties", "della")
_OBJECT = 1500  # bytes that the name, place and mapping of a file's tensor take
# Bytes for each weight of a tensor: those of its sum, of a change, of the ranks of DELLA, and of a float32.
_SUM, _CHANGE, _RANKS, _FLOAT = 6, 12, 24, 4


@dataclass(frozen=True)
class Forecast:
    """Sizes in bytes, the time in seconds.

    Attributes:
        read: of the weights that are merged, each read once.
        files: of all files, each read once for its SHA-256, where that is not known yet.
        memory: at most, beside the program and the files' pages, which the system takes back at need.
        sampled: the share of the weights on which the time was measured.
    """

    recipe: Recipe
    parents: Parents
    read: int
    files: int
    written: int
    memory: int
    seconds: float
    sampled: float
    threads: int
    notes: tuple[str, ...]


def forecast(recipe: Recipe, config: Path | None = None) -> Forecast:
    """Open the files of a recipe with nothing left to search, and say what its merge needs.

    Raises:
        BadInput: a file is missing, is no SDXL checkpoint, or does not fit the others.
    """
    if searched := recipe.searched():
        raise BadInput(
            "Values are still to be searched.", where=", ".join(searched), fix="Give their values."
        )
    parents = open_parents(recipe)
    weights = open_weights(recipe, parents, config)
    terms = weights.terms(recipe)
    threads = min(torch.get_num_threads(), MOST_AT_ONCE)
    seconds, sampled = _time(weights, terms)
    checkpoints = parents.checkpoints
    notes = [note for checkpoint in checkpoints.values() for note in checkpoint.notes]
    return Forecast(
        recipe,
        parents,
        sum(_bytes_read(weights, key, own) for key, own in terms.items()),
        sum(checkpoint.bytes for checkpoint in checkpoints.values()),
        sum(info.bytes for info in weights.infos.values()),
        _OBJECT * sum(len(checkpoint.tensors) for checkpoint in checkpoints.values())
        + threads * max(_memory(weights, key, own) for key, own in terms.items()),
        seconds / threads,
        sampled,
        threads,
        (*notes, *channel_notes(recipe, checkpoints), *vae_notes(recipe, checkpoints)),
    )


def _bytes_read(weights: Weights, key: str, terms: Terms) -> int:
    files = [weights.files[name] for name in sources_in(terms) if name in weights.files]
    return sum(file.header.tensors[key].bytes for file in files)


def _nodes(terms: Terms) -> Iterator[Node]:
    for source, _ in terms:
        if isinstance(source, Node):
            yield source
            for own in source.inputs:
                yield from _nodes(own)


def _memory(weights: Weights, key: str, terms: Terms) -> int:
    """Return the most bytes that a tensor's merge holds at once."""
    sums = sums_at_once(terms)
    each, pieces = float(_SUM + _FLOAT * (sums + (sums > 0))), 0  # one more is made of them
    for node in _nodes(terms):
        models = len(node.inputs)
        if node.method == SUM or node.method in MADE_HERE:
            continue
        pieces = max(pieces, 5 * AT_ONCE * _FLOAT)
        each += _CHANGE
        if node.method in _DRAWN:
            each += models / 8 + _RANKS
        elif node.method != "ties":  # whole tensors, of which an SVD makes more
            each += _FLOAT * (models + (5 if node.method in _SVD else 2))
    return int(each * math.prod(weights.infos[key].shape)) + pieces


def sums_at_once(terms: Terms) -> int:
    """Return how many sums in float32 are held at most, as they are computed one after the other."""
    nodes = [source for source, _ in terms if isinstance(source, Node)]
    within = max((sums_at_once(own) for node in nodes for own in node.inputs), default=0)
    here = sum(node.method == SUM for node in nodes)
    return here - 1 + max(within, 1) if here else within


# -- the time


def _time(weights: Weights, terms: Mapping[str, Terms]) -> tuple[float, float]:
    """Return the seconds of one thread for all tensors, and the share of the weights that were measured.

    Of each shape one tensor is merged, small ones first, as long as there is time. The others take as long as
    the largest that was for each of its weights, and where there is an SVD more by the matrix's shorter side.
    """
    shapes: dict[tuple[int, bool, int], list[str]] = {}
    for key, own in terms.items():
        shape = weights.infos[key].shape
        has_svd = len(shape) > 1 and any(node.method in _SVD for node in _nodes(own))
        side = min(shape[0], math.prod(shape[1:])) if has_svd else 1
        shapes.setdefault((math.prod(shape), has_svd, side), []).append(key)
    began, total, measured, rates = perf_counter(), 0.0, 0, dict[bool, float]()
    for (count, has_svd, side), keys in sorted(shapes.items()):
        expected = rates.get(has_svd, 0.0) * count * side
        if count <= _ANY_TIME or perf_counter() - began + expected < SAMPLED:
            start = perf_counter()
            _merge(weights, keys[0], terms[keys[0]])
            expected = perf_counter() - start
            rates[has_svd] = expected / (max(count, 1) * side)
            measured += count * len(keys)
        total += expected * len(keys)
    return total, measured / sum(math.prod(weights.infos[key].shape) for key in terms)


def _merge(weights: Weights, key: str, terms: Terms) -> None:
    with single_threaded():
        evaluate(terms, key, weights.sources, DTYPES[weights.infos[key].dtype], new_buffer())
