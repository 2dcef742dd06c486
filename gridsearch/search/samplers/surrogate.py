"""A Gaussian process of the loss over many numbers, one of which is the dose of what is merged.

Its covariance is a sum of two squared exponentials: one of all numbers, each with a length of its own, and
one of the dose alone. The lengths grow with the root of how many numbers there are (Hvarfner, Hellsten &
Nardi 2024, arXiv:2402.02229), so that a few dozen trials in twenty dimensions tell something. Parameters are
the most probable ones.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEAST_NOISE = 1e-6
DOSE = 0.15  # the usual length along the dose: a window is a part of the range
FIT_STEPS = 60  # of the fit, at most


@dataclass(frozen=True)
class Surrogate:
    """A fitted process of n places with d numbers.

    Attributes:
        places: (n, d + 1), the last column the dose.
        scales: (d + 1,) 1 / length².
        heights: the variances of the two terms.
        factor: (n, n) lower Cholesky factor of the covariance.
        weights: (n,) the inverse of the covariance times the standardised losses.
        mean, spread: of the losses.
    """

    places: Numbers
    scales: Numbers
    heights: tuple[float, float]
    factor: Numbers
    weights: Numbers
    mean: float
    spread: float

    def predict(self, places: Numbers) -> tuple[Numbers, Numbers]:
        """Return mean and standard deviation of the loss at places (m, d + 1)."""
        square = _squares(places * np.sqrt(self.scales), self.places * np.sqrt(self.scales))
        own = self.heights[0] * np.exp(-0.5 * square)
        dose = (places[:, -1:] - self.places[:, -1]) ** 2 * self.scales[-1]
        both = own + self.heights[1] * np.exp(-0.5 * dose)
        explained = scipy.linalg.solve_triangular(self.factor, both.T, lower=True)
        left = np.maximum(sum(self.heights) - (explained**2).sum(0), 1e-12)
        return self.mean + self.spread * (both @ self.weights), self.spread * np.sqrt(left)


def _squares(some: Numbers, others: Numbers) -> Numbers:
    """Return the squared distances by all columns but the last."""
    some, others = some[:, :-1], others[:, :-1]
    found = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    return np.maximum(found, 0.0)


def fit_surrogate(places: Numbers, losses: Numbers) -> Surrogate:
    """Return the process of losses (n,) at places (n, d + 1), the last column the dose."""
    count, width = places.shape
    mean, spread = float(losses.mean()), float(losses.std()) or 1.0
    values = (losses - mean) / spread
    squares = (places[:, None] - places[None]) ** 2
    # logarithms of the lengths, of both heights, and of the noise: their usual values and spreads
    root = 0.5 * np.log(width - 1)
    usual = np.r_[np.full(width - 1, root + np.sqrt(2)), np.log(DOSE), 0.0, 0.0, -6.0]
    scatter = np.r_[np.full(width - 1, np.sqrt(3)), 1.0, 1.5, 1.5, 1.5]
    start = np.r_[np.full(width - 1, root), usual[width - 1 :]]
    low, high = [-3.0] * (width - 1) + [-6.0] * 3 + [-11.0], [6.0] * (width - 1) + [3.0, 4.0, 4.0, 0.0]

    def terms(at: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        scales = np.exp(-2 * at[:width])
        own = np.exp(at[width] - 0.5 * squares[:, :, :-1] @ scales[:-1])
        return scales, own, np.exp(at[width + 1] - 0.5 * squares[:, :, -1] * scales[-1])

    def unlikely(at: Numbers) -> tuple[float, Numbers]:
        """The negative logarithm of the posterior, and its gradient (Rasmussen & Williams 2006, 5.9)."""
        scales, own, dose = terms(at)
        noise = np.exp(at[-1])
        factor = np.linalg.cholesky(own + dose + (noise + LEAST_NOISE) * np.eye(count))
        inverse = scipy.linalg.cho_solve((factor, True), np.eye(count))
        alpha = inverse @ values
        slope = 0.5 * (inverse - np.outer(alpha, alpha))
        lengths = np.einsum("ij,ijk->k", slope * own, squares[:, :, :-1]) * scales[:-1]
        others = [(slope * dose * squares[:, :, -1]).sum() * scales[-1], (slope * own).sum()]
        others += [(slope * dose).sum(), noise * np.trace(slope)]
        off = (at - usual) / scatter
        worth = 0.5 * values @ alpha + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        return float(worth), np.r_[lengths, others] + off / scatter

    bounds = list(zip(low, high, strict=True))
    found = scipy.optimize.minimize(
        unlikely, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": FIT_STEPS}
    ).x
    scales, own, dose = terms(found)
    factor = np.linalg.cholesky(own + dose + (np.exp(found[-1]) + LEAST_NOISE) * np.eye(count))
    weights = scipy.linalg.cho_solve((factor, True), values)
    heights = float(np.exp(found[width])), float(np.exp(found[width + 1]))
    return Surrogate(places, scales, heights, factor, weights, mean, spread)
