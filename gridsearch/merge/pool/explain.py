"""The ratios by which a merge was made of its models, part by part, by least squares.

The merge m is taken for a sum of models, w1 a + w2 b + ..., whose weights are free: they need not add up to
one. As models of one family differ by little, it is solved for m - a in terms of a, b - a, c - a and so on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import VAE_COMPONENT, Family
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.keys import parts_in_order, selector_of, unet_parts
from gridsearch.checkpoint.ldm.recognise import family_of
from gridsearch.merge.pool.sums import PoolProgress, Sums, shared_weights, sums_by_part

ALL, WHOLE_UNET = "all", "unet"  # all but the VAE, which merges often take from elsewhere; the UNet
EXPLAINED = 0.05  # the share of a merge's distance from its nearest model that may be left
OF_ROUNDING = 3.0  # or how many times what rounding leaves
SINGULAR = 1e-5  # of the normalised products: they are summed from float32, which has seven digits
LOOSE = 1e-3  # the part of a direction from which on it counts
ONE_RATIO = 1e-3  # by how much the ratios of a step may differ to be told as one


@dataclass(frozen=True)
class MadeOf:
    """The weights by which the models make up a part of the merge.

    Attributes:
        weights: of each model; None where the models do not tell it.
        errors: the standard error of each weight, by what is left.
        sum: of all weights, which is known where single ones are not.
        left: the distance of the merge from that sum of models, as a share of that from the nearest model.
        explained: whether that is little, or no more than rounding.
        why: what is wrong or undetermined, in words.
    """

    name: str
    weights: tuple[float | None, ...]
    errors: tuple[float | None, ...]
    sum: float
    left: float
    explained: bool
    why: str = ""


@dataclass(frozen=True)
class Explained:
    """The parts of a merge, sums of several parts first, and what was left out, in sentences."""

    models: tuple[str, ...]
    parts: tuple[MadeOf, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """Return a row of a table for each part."""
        rows = []
        for part in self.parts:
            row: dict[str, object] = {"part": part.name}
            for name, weight, error in zip(self.models, part.weights, part.errors, strict=True):
                row |= {name: weight, f"{name} error": error}
            rest = {"sum": part.sum, "unexplained": part.left, "explained": part.explained, "why": part.why}
            rows.append(row | rest)
        return rows

    def as_step(self) -> str:
        """Return the ratio of a step of two models as an experiment has it; empty where it is none."""
        own = [part for part in self.parts if part.name not in (ALL, WHOLE_UNET)]
        told = [(part.name, part.weights[1]) for part in own if part.explained]
        known = {name: weight for name, weight in told if weight is not None}
        sums_to_one = all(abs(part.sum - 1) < ONE_RATIO for part in own)
        if len(self.models) != 2 or not known or not sums_to_one or not all(p.explained for p in own):
            return ""
        values = [round(weight, 4) + 0.0 for weight in known.values()]
        if max(values) - min(values) < ONE_RATIO:
            return f"{float(np.median(values)):g}"
        return f"{{ {', '.join(f'{name} = {v:g}' for name, v in zip(known, values, strict=True))} }}"


def explain(merged: Checkpoint, models: Mapping[str, Checkpoint], progress: PoolProgress) -> Explained:
    """Return the weights of `models`, by their names, in `merged`.

    One weight of all files at a time is in memory, and every file is read once.

    Raises:
        BadInput: the files have no weight in common.
    """
    files = {**models, f"{merged.path.name} (the merge)": merged}
    shared = shared_weights(files)
    notes = [f"{why} {len(keys):,} weights, {keys[0]} first." for why, keys in shared.left_out.items()]
    if not shared.keys:
        raise BadInput("These files have no weight in common.", where=merged.path, why=" ".join(notes))
    total = sum(file.tensors[key].bytes for file in files.values() for key in shared.keys)
    advance, family = progress.comparing(merged.path.name, total), family_of(merged)
    sums, broken = sums_by_part(
        [*models.values(), merged], shared.keys, partial(selector_of, family=family), advance
    )
    if broken:
        notes.append(f"{len(broken):,} weights hold a NaN or an infinity, {broken[0]} first.")
    if notes:
        notes.append("Weights that are named here are left out.")
    return Explained(tuple(models), tuple(_parts(sums, tuple(models), family)), tuple(notes))


def _parts(sums: Mapping[str, Sums], models: Sequence[str], family: Family) -> list[MadeOf]:
    """Return the sums of several parts first, and then each part."""
    wholes = {
        ALL: [own for name, own in sums.items() if name != VAE_COMPONENT] or list(sums.values()),
        WHOLE_UNET: [own for name, own in sums.items() if name in unet_parts(family)],
    }
    found = {name: reduce(add, own) for name, own in wholes.items() if own}
    known = [name for name in parts_in_order(family) if name in sums]
    found |= {name: sums[name] for name in dict.fromkeys([*known, *sums])}
    return [solved(name, own, models) for name, own in found.items()]


# -- least squares


def solved(name: str, sums: Sums, models: Sequence[str]) -> MadeOf:
    """Return the part whose sums these are, of the models and then of the merge."""
    gram = sums.gram
    known, toward, distance = gram[:-1, :-1], gram[:-1, -1], max(gram[-1, -1], 0.0)
    inverse, null = _pseudo_inverse(known)
    found = inverse @ toward
    left = max(distance - float(found @ toward), 0.0)
    nearest = min(distance, *(distance - 2 * toward[1:] + known.diagonal()[1:]), math.inf)
    to_weights = _to_weights(len(models))
    loose = _loose(to_weights, null)
    noise = max(left, sums.rounding) / max(sums.count - len(known), 1)
    variance = noise * np.einsum("ij,jk,ik->i", to_weights, inverse, to_weights)
    weights = to_weights @ found + np.eye(len(models))[0]
    share = math.sqrt(left / nearest) if left > 0 and nearest > 0 else 0.0
    by_rounding = bool(left <= OF_ROUNDING**2 * sums.rounding)
    return MadeOf(
        name,
        tuple(None if out else float(weight) for weight, out in zip(weights, loose, strict=True)),
        tuple(None if out else math.sqrt(max(one, 0.0)) for one, out in zip(variance, loose, strict=True)),
        float(1 + found[0]),
        min(share, 1.0),
        by_rounding or share <= EXPLAINED,
        _why(sums, share, by_rounding, loose, models),
    )


def _to_weights(count: int) -> np.ndarray:
    """Return the matrix from what is solved for to the weights: a has what the others leave of the sum."""
    found = np.eye(count)
    found[0, 1:] = -1.0
    return found


def _pseudo_inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse of products, and as columns the directions that they say nothing of, left out of it.

    Each of the vectors is taken at length one first: models are large, and their differences small.
    """
    lengths = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    scale = np.where(lengths > 0, lengths, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    firm = values > SINGULAR
    inverse = (vectors[:, firm] / values[firm]) @ vectors[:, firm].T / np.outer(scale, scale)
    return inverse, vectors[:, ~firm] / scale[:, None]


def _loose(to_weights: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Return for each weight whether it changes along a direction of `null`, and so is not determined."""
    unit = null / np.maximum(np.abs(null).max(axis=0, initial=0.0), 1e-300)
    return (np.abs(to_weights @ unit) > LOOSE).any(axis=1)


def _why(sums: Sums, share: float, by_rounding: bool, loose: np.ndarray, models: Sequence[str]) -> str:
    said = []
    undetermined = [name for name, out in zip(models, loose, strict=True) if out]
    spread = math.sqrt(max(sums.gram.diagonal()[1:-1].max(initial=0.0), 0.0))
    if spread == 0 and len(models) > 1:
        said.append("the models are equal here")
    elif undetermined:
        said.append(f"{' and '.join(undetermined)} cannot be told apart here")
    elif len(models) > 1 and spread < OF_ROUNDING * math.sqrt(sums.rounding):
        said.append("the models differ by no more than rounding")
    if not by_rounding and share > EXPLAINED:
        said.append("not explained by these models")
    return "; ".join(said)
