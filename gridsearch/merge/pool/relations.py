"""The place of models beside one another: products of their differences, distances, and a map of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gridsearch.checkpoint.family import FIRST_CONV
from gridsearch.checkpoint.ldm.recognise import family_of
from gridsearch.merge.pool.sums import PoolProgress, shared_weights, sums_by_part
from gridsearch.merge.pool.survey import Surveyed, part_name

ITERATIONS = 500  # of the majorisation; 50 models take a tenth of a second
EXACT = 3  # so many models are compared exactly, side by side; more by their sketches


@dataclass(frozen=True)
class Relations:
    """The products of models' differences from a base in one part; without a base, from their mean.

    Attributes:
        names: of the models that have the part, with as many numbers as the others.
        gram: the products of the differences, of all pairs.
        norm: that of the base's part, or the mean of all.
        exact: whether they are those of the weights themselves, and not of sketches.
    """

    names: tuple[str, ...]
    gram: np.ndarray
    norm: float
    exact: bool = False

    def distance(self) -> np.ndarray:
        """Return the distances of all pairs, as shares of the norm."""
        own = self.gram.diagonal()
        return np.sqrt(np.maximum(own[:, None] + own - 2 * self.gram, 0.0)) / self.norm

    def change(self) -> np.ndarray:
        """Return the norms of the differences, as shares of the norm."""
        return np.sqrt(np.maximum(self.gram.diagonal(), 0.0)) / self.norm

    def cosine(self) -> np.ndarray:
        """Return the cosines of the differences of all pairs; NaN where one is no different."""
        lengths = self.change() * self.norm
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(self.gram / np.outer(lengths, lengths), -1.0, 1.0)


def main_part(found: Mapping[str, object]) -> str | None:
    """Return the part by which models are near or far: the UNet where they have one."""
    return "unet" if "unet" in found else next(iter(found), None)


def relations(models: Sequence[Surveyed], base: str | None, progress: PoolProgress) -> dict[str, Relations]:
    """Return the relations in each part; a few models are read again, side by side, for exact ones."""
    found = {}
    parts = dict.fromkeys(part for model in models for part in model.parts)
    for part in parts:
        counts = Counter(model.parts[part].count for model in models if part in model.parts)
        usual = next((m.parts[part].count for m in models if m.name == base and part in m.parts), None)
        count = usual or counts.most_common(1)[0][0]
        own = [model for model in models if part in model.parts and model.parts[part].count == count]
        if len(own) > 1 and (base is None or base in [model.name for model in own]):
            found[part] = _by_sketches(part, own, base)
    others = len(models) - (base is not None)
    return found if others > EXACT or not found else _exact(models, found, base, progress)


def _by_sketches(part: str, models: Sequence[Surveyed], base: str | None) -> Relations:
    names = tuple(model.name for model in models)
    sketches = np.stack([model.parts[part].sketch for model in models]).astype(np.float64)
    from_here = sketches[names.index(base)] if base else sketches.mean(0)
    squares = [model.parts[part].squares for model in models if base in (None, model.name)]
    apart = sketches - from_here
    return Relations(names, apart @ apart.T, float(np.sqrt(np.mean(squares))) or 1.0)


def _exact(
    models: Sequence[Surveyed], sketched: Mapping[str, Relations], base: str | None, progress: PoolProgress
) -> dict[str, Relations]:
    """Return the same relations from the weights themselves, for the parts that all these models have."""
    common = [part for part, own in sketched.items() if len(own.names) == len(models)]
    ordered, found = sorted(models, key=lambda model: model.name != base), dict(sketched)
    part, names = partial(part_name, family=family_of(ordered[0].file)), [model.name for model in ordered]
    shared = shared_weights({model.name: model.file for model in ordered}).keys
    keys = [key for key in shared if key != FIRST_CONV and part(key) in common]
    total = sum(model.file.tensors[key].bytes for model in ordered for key in keys)
    advance = progress.comparing("side by side", total)
    sums, _ = sums_by_part([model.file for model in ordered], keys, part, advance)
    for name, own in sums.items():
        gram, before = own.gram.copy(), sketched[name]
        gram[0], gram[:, 0] = 0.0, 0.0  # the first differs in nothing from itself
        at = [names.index(other) for other in before.names]
        found[name] = Relations(before.names, gram[np.ix_(at, at)], before.norm, exact=True)
    return found


# -- a map


def positions(distance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return points in the plane [n, 2], and by how much of itself a distance on it is wrong (mean square).

    Multidimensional scaling by majorisation (SMACOF; de Leeuw 1977), from the classical solution (Torgerson
    1952). A distance has the weight 1 / d^2: that of neighbours is to be right too. Zeros lie on one point.
    """
    points, weights = _classical(distance), np.zeros_like(distance)
    np.divide(1.0, distance**2, out=weights, where=distance > 0)
    weights[distance == 0] = weights.max(initial=1.0)
    np.fill_diagonal(weights, 0.0)
    inverse = np.linalg.pinv(np.diag(weights.sum(1)) - weights)
    for _ in range(ITERATIONS):
        pull = -weights * distance / np.maximum(_between(points), 1e-12)
        np.fill_diagonal(pull, 0.0)
        np.fill_diagonal(pull, -pull.sum(1))
        points = inverse @ pull @ points
    apart = distance > 0
    wrong = (_between(points)[apart] / distance[apart] - 1) ** 2
    return points, float(np.sqrt(wrong.mean())) if apart.any() else 0.0


def _classical(distance: np.ndarray) -> np.ndarray:
    """Return the two largest principal axes of points with these distances; signs follow from them too."""
    centre = np.eye(len(distance)) - 1 / len(distance)
    values, vectors = np.linalg.eigh(-0.5 * centre @ distance**2 @ centre)
    points = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0.0))
    return points * np.where(points[np.abs(points).argmax(0), range(2)] < 0, -1.0, 1.0)


def _between(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points, axis=-1)
