"""The methods that look at models, or their differences, as arrows: means of directions, and what is at right
angles.

Each is a sum of its inputs whose coefficients follow from the inputs' inner products, the Gram matrix.
"""

from collections.abc import Sequence

import numpy as np

from gridsearch.base.errors import RunFailed

NOTHING = 1e-12  # of a length of about 1: directions that cancel, or have converged
MOST_ROUNDS = 100


def karcher_coefficients(gram: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """Return the factors of models in the Karcher mean of their directions, at their mean length.

    That has the least sum of squared angles to all (Karcher 1977), and is found by steps along the sphere.
    Models of zeros have no direction. Where the directions cancel there is no mean, and the factors are the
    weights, as in an average.
    """
    shares, lengths = _shares(weights, len(gram)), _lengths(gram)
    pulls = np.where(lengths > 0, shares, 0)
    cosines = _cosines(gram, lengths)
    mean = pulls / max(pulls.sum(), NOTHING)
    if (length := _length(mean, cosines)) < NOTHING:
        return shares
    mean = mean / length
    for _ in range(MOST_ROUNDS):
        dots = np.clip(cosines @ mean, -1, 1)
        angles = np.arccos(dots)
        stretch = 1 / np.sinc(angles / np.pi)  # angle / sin(angle)
        pull = pulls / pulls.sum() * np.where(dots > -1, stretch, 0)
        step = pull - (pull @ dots) * mean
        if (length := _length(step, cosines)) < NOTHING:
            break
        mean = np.cos(length) * mean + np.sin(length) / length * step
        mean /= _length(mean, cosines)
    return _rescaled(mean, shares, lengths)


def multislerp_coefficients(gram: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """Return the factors of models in the normalized mean of their directions, with their mean length.

    That is mergekit's multislerp (Goddard 2025): it also adds the mean of the directions' parts at right
    angles to their mean, which is zero.
    """
    shares, lengths = _shares(weights, len(gram)), _lengths(gram)
    mean = np.where(lengths > 0, shares, 0)
    length = _length(mean, _cosines(gram, lengths))
    return shares if length < NOTHING else _rescaled(mean / length, shares, lengths)


def perpendicular_coefficients(gram: np.ndarray, ratio: float) -> np.ndarray:
    """Return the factors of a, b and c in a, plus `ratio` times what of b - c is at right angles to a - c.

    Where a does not differ from c nothing is added, as sd-mecha has it.
    """
    to_differences = np.array([[1, 0, -1], [0, 1, -1]])
    (square, product), _ = to_differences @ gram @ to_differences.T
    if square <= 1e-15 * np.trace(gram):
        return np.array([1.0, 0.0, 0.0])
    along = product / square
    return np.array([1 - ratio * along, ratio, ratio * (along - 1)])


def _lengths(gram: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.diag(gram), 0))  # by rounding, a small square may be below zero


def _shares(weights: Sequence[float] | None, count: int) -> np.ndarray:
    given = np.ones(count) if weights is None else np.asarray(weights, float)
    if not given.sum() > 0:
        raise RunFailed("All weights of a step are zero.", fix="Give one of its models some weight.")
    return given / given.sum()


def _cosines(gram: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return gram * inverse * inverse[:, None]


def _length(mix: np.ndarray, cosines: np.ndarray) -> float:
    """Return the length of a mix of unit vectors."""
    return float(np.sqrt(max(mix @ cosines @ mix, 0)))


def _rescaled(mean: np.ndarray, shares: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the factors of the models for a mix of their unit vectors, at the models' mean length."""
    return np.divide(mean * (shares @ lengths), lengths, out=np.zeros_like(mean), where=lengths > 0)
