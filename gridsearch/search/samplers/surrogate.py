"""A Gaussian process of losses over many numbers, one of which is the dose of what is merged.

Its covariance is a sum of squared exponentials: one of each number alone, half as wide as its range and with
a height of its own, and one of the dose (additive processes: Duvenaud et al. 2011, arXiv:1112.4394). So a few
dozen trials in twenty dimensions tell something, and a number that changes nothing costs nothing. Parameters
are the most probable ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEAST_NOISE = 1e-6
LEAST_SCATTER = 1e-6  # of losses: where all are the same, no other is expected elsewhere
LENGTH = 0.5  # along a number, in its range
DOSE = 0.15  # the usual length along the dose: a window is a part of the range
ALL = 20.0  # the usual sum of the numbers' heights, in variances of the loss
SPARSE = 3.0  # spread of a height's logarithm: few of the numbers may make up most
FIT_STEPS = 60  # of the fit, at most
POWERS = 12  # of a number, that stand for its covariance
FINE, MOST = 50, 1000  # doses of the grid in a length along them, and in all at most


@dataclass(frozen=True)
class Surrogate:
    """A fitted process of n places with d numbers.

    Attributes:
        places: (n, d + 1), the last column the dose.
        heights: (d + 1,) the variances of the terms, the last of the dose.
        scale: 1 / length² along the dose.
        noise: the variance of a loss around the sum of the terms.
        factor: (n, n) lower Cholesky factor of the covariance.
        weights: (n,) the inverse of the covariance times the standardised losses.
        mean, spread: of the losses.
    """

    places: Numbers
    heights: Numbers
    scale: float
    noise: float
    factor: NDArray
    weights: Numbers
    mean: float
    spread: float

    def predict(self, places: Numbers, doses: Numbers) -> tuple[Numbers, Numbers]:
        """Return mean and standard deviation of the loss at places (m, d) with doses (..., m).

        What depends on the dose is computed on a grid, and taken from there along straight lines.
        """
        own = self._of_numbers(places, self.places)
        low, high = doses.min(), doses.max()
        count = int(np.clip((high - low) * np.sqrt(self.scale) * FINE, 2, MOST))
        grid = np.linspace(low, high, count)
        along = self._of_dose(grid, self.places)
        explained = scipy.linalg.solve_triangular(self.factor, np.r_[own, along].T, lower=True)
        own_part, part = explained[:, : len(own)], explained[:, len(own) :]
        at = (doses - low) / max(high - low, 1e-12) * (count - 1)
        left = np.minimum(at.astype(int), count - 2)
        right, rows = at - left, np.arange(len(places))
        both = (part**2).sum(0) + 2 * own_part.T @ part
        known = (1 - right) * both[rows, left] + right * both[rows, left + 1] + (own_part**2).sum(0)
        mean = own @ self.weights + np.interp(doses, grid, along @ self.weights)
        unknown = np.maximum(self.heights.sum() - known, 1e-12)
        return self.mean + self.spread * mean, self.spread * np.sqrt(unknown)

    def with_expected(self, places: Numbers) -> "Surrogate":
        """Return the process that knows that places (m, d + 1) come to what it expects of them.

        It expects the same as before, and is surer around them. Its parameters stay: a kriging believer
        (Ginsbourger et al. 2010).
        """
        new, doses = places[:, :-1], places[:, -1]
        across = self._covariance(new, doses, self.places)
        below = scipy.linalg.solve_triangular(self.factor, across.T, lower=True).T
        left = self._covariance(new, doses, places) + self.noise * np.eye(len(new)) - below @ below.T
        corner = np.zeros((len(self.factor), len(new)))
        factor = np.block([[self.factor, corner], [below, np.linalg.cholesky(left)]])
        weights = np.r_[self.weights, np.zeros(len(new))]
        return replace(self, places=np.r_[self.places, places], factor=factor, weights=weights)

    def _covariance(self, places: Numbers, doses: Numbers, others: Numbers) -> Numbers:
        """Return that (m, k) of places (m, d) with doses (m,) and of others (k, d + 1)."""
        return self._of_numbers(places, others) + self._of_dose(doses, others)

    def _of_numbers(self, places: Numbers, others: Numbers) -> Numbers:
        return powers(places, self.heights[:-1]) @ powers(others[:, :-1], self.heights[:-1]).T

    def _of_dose(self, doses: Numbers, others: Numbers) -> Numbers:
        return self.heights[-1] * np.exp(-0.5 * self.scale * (doses[:, None] - others[:, -1]) ** 2)


def powers(places: Numbers, heights: Numbers) -> Numbers:
    """Return features of places (n, d) in the unit cube whose products are the covariance of the numbers.

    They are the terms of a series: exp(-(x-y)²/2) is exp(-x²/2) exp(-y²/2) Σ (xy)^k / k!, and twelve of them
    leave less than 1e-8.
    """
    off = (places - 0.5) / LENGTH
    first = np.sqrt(heights) * np.exp(-0.5 * off**2)
    factors = off[..., None] / np.sqrt(np.arange(1, POWERS))
    terms = np.cumprod(np.concatenate([first[..., None], factors], axis=-1), axis=-1)
    return terms.reshape(len(places), places.shape[1] * POWERS)


def fit_surrogate(places: Numbers, losses: Numbers, matter: Numbers | None = None) -> Surrogate:
    """Return the process of losses (n,) at places (n, d + 1), the last column the dose.

    Args:
        matter: (d,) shares of how much each number is expected to matter beside the dose; None if alike.
    """
    count, width = places.shape
    mean, spread = float(losses.mean()), max(float(losses.std()), LEAST_SCATTER)
    values = (losses - mean) / spread
    squares = (places[:, None] - places[None]) ** 2
    alone, along = np.exp(-0.5 * squares[:, :, :-1] / LENGTH**2), squares[:, :, -1]
    # logarithms of the heights, the dose's last, of its length, and of the noise: usual values and spreads
    shares = np.full(width - 1, 1 / (width - 1)) if matter is None else matter
    usual = np.r_[np.log(ALL * shares), 0.0, np.log(DOSE), -6.0]
    scatter = np.r_[np.full(width - 1, SPARSE), 1.5, 1.0, 1.5]
    low, high = [-12.0] * (width - 1) + [-6.0, -6.0, -11.0], [7.0] * (width - 1) + [4.0, 3.0, 0.0]

    def terms(at: Numbers) -> tuple[Numbers, Numbers]:
        return np.exp(at[:width]), np.exp(at[width - 1] - 0.5 * along * np.exp(-2 * at[width]))

    def covariance(heights: Numbers, dose: Numbers, noise: float) -> Numbers:
        return alone @ heights[:-1] + dose + (noise + LEAST_NOISE) * np.eye(count)

    def unlikely(at: Numbers) -> tuple[float, Numbers]:
        """The negative logarithm of the posterior, and its gradient (Rasmussen & Williams 2006, 5.9)."""
        (heights, dose), noise = terms(at), np.exp(at[-1])
        factor = np.linalg.cholesky(covariance(heights, dose, noise))
        inverse = scipy.linalg.cho_solve((factor, True), np.eye(count))
        alpha = inverse @ values
        slope = 0.5 * (inverse - np.outer(alpha, alpha))
        own = np.einsum("ij,ijk->k", slope, alone) * heights[:-1]
        others = [(slope * dose).sum(), (slope * dose * along).sum() * np.exp(-2 * at[width])]
        off = (at - usual) / scatter
        worth = 0.5 * values @ alpha + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        return float(worth), np.r_[own, others, noise * np.trace(slope)] + off / scatter

    bounds = list(zip(low, high, strict=True))
    found = scipy.optimize.minimize(
        unlikely, usual, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": FIT_STEPS}
    ).x
    (heights, dose), noise = terms(found), float(np.exp(found[-1]))
    factor = np.linalg.cholesky(covariance(heights, dose, noise))
    weights = scipy.linalg.cho_solve((factor, True), values)
    scale = float(np.exp(-2 * found[width]))
    return Surrogate(places, heights, scale, noise + LEAST_NOISE, factor, weights, mean, spread)
