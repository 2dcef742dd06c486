"""A checkpoint with its units in the order of another's, so that a merge averages like with like.

Units within a layer may be put in any order without a change in what the model draws. Git Re-Basin
(Ainsworth, Hayase and Srinivasa 2022, arXiv:2209.04836) takes the order in which the weights are nearest to
another model's. No order here depends on another one, so each is one assignment problem, and solved exactly.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.checkpoint.identity import identity_of
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import family_of
from gridsearch.checkpoint.ldm.shapes import check_file
from gridsearch.checkpoint.ldm.units import UnitRows, Units, interchangeable
from gridsearch.checkpoint.mergeable import require_mergeable
from gridsearch.merge.engine.sources import FileSource, greatest_value
from gridsearch.merge.export.export import PairProgress, write_safetensors

REBASED = "gridsearch.rebased"  # in the metadata of a file that was made here


@dataclass(frozen=True)
class Rebased:
    """The result.

    Attributes:
        sha256: that of the written file; None where no unit was moved, and nothing was written.
        moved: kind of units -> how many were moved, and how many there are.
        distances: between the weights of all units of the two models, before and after.
    """

    sha256: str | None
    moved: Mapping[str, tuple[int, int]]
    distances: tuple[float, float]

    def lines(self) -> list[str]:
        """Return what was done, in words."""
        if self.sha256 is None:
            return [
                "The units of both models are in the same order, as they are where both were trained from "
                "one base. Nothing was written: merge the models as they are."
            ]
        kinds = [f"{moved:,} of {units:,} {kind}" for kind, (moved, units) in self.moved.items()]
        before, after = self.distances
        return [
            f"Moved {', '.join(kinds)}.",
            f"The distance of their weights to the other model's is {after:.4g}; it was {before:.4g}.",
        ]


def rebase(model: Path, to: Path, output: Path, config: Path | None, progress: PairProgress) -> Rebased:
    """Write `model` with its units in the order of those of `to`; no value changes, and no dtype.

    Raises:
        BadInput: a file is no known model, or has not the shapes of the configs.
    """
    files = {"model": open_model(model), "to": open_model(to)}
    family = family_of(files["model"])
    folder = config or family.configs
    for file in files.values():
        require_mergeable(file)
        check_file(file, folder, family.beside_vae)
    hashes = {
        name: identity_of(file, progress.hashing(file.path.name, file.bytes))[0]
        for name, file in files.items()
    }
    own, other = (FileSource(file) for file in files.values())
    orders: dict[str, list[tuple[UnitRows, Tensor]]] = defaultdict(list)
    moved: dict[str, tuple[int, int]] = {}
    squares = [0.0, 0.0]
    layers = interchangeable(folder)
    advance = progress.comparing(model.name, sum(_bytes(layer, own) for layer in layers))
    for layer in layers:
        order, before, after = nearest_order(layer, own, other)
        count = int((order != torch.arange(layer.count)).sum())
        for place in layer.places if count else ():
            orders[place.key].append((place, order))
        so_far = moved.get(layer.kind, (0, 0))
        moved[layer.kind] = so_far[0] + count, so_far[1] + layer.count
        squares = [squares[0] + before, squares[1] + after]
        advance(_bytes(layer, own))
    distances = math.sqrt(squares[0]), math.sqrt(squares[1])
    if not orders:
        return Rebased(None, moved, distances)
    entries = files["model"].tensors
    writing = progress.writing(output.name, sum(info.bytes for info in entries.values()))
    tensors = (_reordered(own.tensor(key), orders.get(key, ())) for key in entries)
    metadata = {**files["model"].metadata, REBASED: json.dumps(hashes)}
    sha256 = write_safetensors(output, entries, tensors, metadata, writing)
    return Rebased(sha256, moved, distances)


def nearest_order(units: Units, own: FileSource, other: FileSource) -> tuple[Tensor, float, float]:
    """Return the order of a model's units that brings them nearest to another's, and squared distances.

    At each position stands the unit to be put there. The distances are those before and after.
    """
    alike = torch.zeros(units.count, units.count)
    squares = 0.0
    for place in units.places:
        a, b = (_rows(source, place, units.count) for source in (other, own))
        squares += sum(float(torch.linalg.vector_norm(one)) ** 2 for one in (a, b))
        alike.addmm_(a, b.T)
    order = _best(alike)
    before, after = alike.diagonal(), alike[torch.arange(units.count), order]
    return order, _less(squares, before), _less(squares, after)


def _less(squares: float, products: Tensor) -> float:
    return max(squares - 2 * float(products.double().sum()), 0.0)


def _best(alike: Tensor) -> Tensor:
    """Return the column of each row by which the sum is greatest, and no column twice."""
    if torch.equal(alike.diagonal(), alike.max(1).values):
        return torch.arange(len(alike))  # no assignment can have more
    from scipy.optimize import linear_sum_assignment  # a fifth of a second

    return torch.from_numpy(linear_sum_assignment(alike.numpy(), maximize=True)[1])


def _rows(source: FileSource, place: UnitRows, count: int) -> Tensor:
    """Return the weights of units as rows, in float32; a BadInput where one is not finite."""
    tensor = source.tensor(place.key)
    greatest_value(tensor, source.header.file_of(place.key), place.key)
    return tensor.narrow(place.axis, place.start, count).movedim(place.axis, 0).reshape(count, -1).float()


def _reordered(tensor: Tensor, orders: Iterable[tuple[UnitRows, Tensor]]) -> Tensor:
    for place, order in orders:
        tensor = tensor.clone()
        here = tensor.narrow(place.axis, place.start, len(order))
        here.copy_(here.index_select(place.axis, order))
    return tensor


def _bytes(units: Units, source: FileSource) -> int:
    return sum(source.header.tensors[place.key].bytes for place in units.places)
