"""Non-linear methods that are sums of their models, with factors that follow from dot products.

The products of the models do not depend on a ratio. Once they are known for a key, such a merge is one
weighted sum, without another look at the models.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridsearch.merge.engine.compiled import addresses, array, loops_for
from gridsearch.merge.engine.linear import pieces


@dataclass(frozen=True)
class Products:
    """The dot products of a tensor a and of the differences d of others from it.

    Models of one family differ by so little that their own products would say nothing of it.

    Attributes:
        first: a · a.
        along: a · d, for each other.
        between: d · d, for each pair of others.
    """

    first: float
    along: tuple[float, ...]
    between: tuple[tuple[float, ...], ...]

    def gram(self) -> np.ndarray:
        """Return the products of the tensors themselves, of all pairs."""
        along, between = np.array([0.0, *self.along]), np.zeros((len(self.along) + 1,) * 2)
        between[1:, 1:] = self.between
        return self.first + along + along[:, None] + between


def products(tensors: Sequence[Tensor]) -> Products:
    """Return the products of same-shaped tensors, summed in float64 over pieces in float32."""
    return products_of_all([tensors])[0]


def products_of_all(each: Sequence[Sequence[Tensor]]) -> list[Products]:
    """Return the products of several such, each of a shape of its own."""
    flat = [[tensor.reshape(-1) for tensor in tensors] for tensors in each]
    found, alike = dict[int, np.ndarray](), defaultdict(list)
    for k, tensors in enumerate(flat):
        if loops := loops_for(*tensors):  # which go through many at once
            alike[loops, tensors[0].dtype, len(tensors)].append(k)
        else:
            found[k] = _with_torch(tensors)
    for (loops, _, count), several in alike.items():
        upper, sizes = np.zeros((len(several), count, count)), [flat[k][0].numel() for k in several]
        sources, like = np.stack([addresses(flat[k]) for k in several]), array(flat[several[0]][0][:1])
        loops.add_products(upper, np.array(sizes), sources, like)
        found |= zip(several, upper + np.triu(upper, 1).swapaxes(1, 2), strict=True)
    return [_products(found[k].tolist()) for k in range(len(flat))]


def _with_torch(flat: Sequence[Tensor]) -> np.ndarray:
    total = torch.zeros((), dtype=torch.float64, device=flat[0].device)
    for here in pieces(flat[0]):
        rows = torch.stack([one[here].float() for one in flat])
        rows[1:] -= rows[0]
        total = total + rows @ rows.T
    return total.cpu().numpy()


def _products(gram: list[list[float]]) -> Products:
    (first, *along), *others = gram
    return Products(first, tuple(along), tuple(tuple(row[1:]) for row in others))


def slerp(known: Products, ratio: float) -> tuple[float, ...]:
    """Go along the arc between the directions, norms interpolated (Shoemake 1985).

    Straight on where there is no arc: between tensors that are parallel, or of which one is zero.
    """
    aa, ad, dd = known.first, known.along[0], known.between[0][0]
    bb = max(aa + 2 * ad + dd, 0.0)
    lengths = math.sqrt(aa), math.sqrt(bb)
    across = math.sqrt(max(aa * dd - ad * ad, 0.0))  # |a| |b| times the sine of their angle
    if across <= 1e-9 * lengths[0] * lengths[1]:
        return 1 - ratio, ratio
    angle = math.atan2(across, aa + ad)
    norm = (1 - ratio) * lengths[0] + ratio * lengths[1]
    shares = math.sin((1 - ratio) * angle), math.sin(ratio * angle)
    a, b = (share / math.sin(angle) * norm / length for share, length in zip(shares, lengths, strict=True))
    return a, b


def model_stock(known: Products, ratio: float) -> tuple[float, ...]:
    """Go to the mean of the others by t = N cos / (1 + (N - 1) cos) (Jang et al. 2024, equation 5).

    As the mean of all pairs the cosine is at least -1 / (N - 1), where t has its pole. Below zero the paper
    says nothing: t stays above -1, so that models which contradict one another are not magnified.
    """
    n = len(known.along)
    lengths = [math.sqrt(max(known.between[i][i], 0.0)) for i in range(n)]
    pairs = [(i, j) for i in range(n) for j in range(i)]
    cosines = [known.between[i][j] / max(lengths[i] * lengths[j], 1e-30) for i, j in pairs]
    mean = sum(cosines) / len(cosines)
    t = n * mean / max(1 + (n - 1) * mean, abs(n * mean)) if mean else 0.0
    return 1 - ratio * t, *[ratio * t / n] * n


def geometric_median(known: Products) -> tuple[float, ...]:
    """Go to the point with the least sum of distances to all models, by Weiszfeld's iteration (1937)."""
    return _median(known.between)


@functools.lru_cache(2**14)  # the iteration takes longer than a small merge, and no ratio changes its result
def _median(between: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    points = np.zeros((len(between) + 1,) * 2)  # the first lies at the origin
    points[1:, 1:] = between
    return tuple(median_weights(points).tolist())


def median_weights(gram: np.ndarray) -> np.ndarray:
    """Return the weights of points in their geometric median, from their inner products."""
    own, weights = gram.diagonal(), np.full(len(gram), 1 / len(gram))
    for _ in range(100):
        toward = gram @ weights
        distances = np.sqrt(np.maximum(own - 2 * toward + weights @ toward, 0))
        nearer = 1 / np.maximum(distances, 1e-6)
        before, weights = weights, nearer / nearer.sum()
        if np.abs(weights - before).max() < 1e-12:
            break
    return weights
