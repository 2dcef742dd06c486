"""Where along the ratio the loss is least, and how sure that is.

The curve over the ratios is smoothed by a Gaussian process (Rasmussen & Williams 2006, ch. 2 and 5) and
the optimum read off the smooth curve. Its doubt comes from the prompts: the best ratio depends on them far
more than on seeds, so whole prompts are drawn again with replacement (the cluster bootstrap; Davison &
Hinkley 1997, ch. 3.8) and every draw gives its own optimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

Array = NDArray[np.float64]

GRID = 501  # points on which the smooth curve is read, over the whole range of ratios
# The floor of a healthy window is flat and a smooth curve ripples on it; whatever lies within this share
# of the curve's height above its minimum counts as the same floor, and its middle is the optimum.
FLOOR = 0.02


@dataclass(frozen=True)
class Smoother:
    """A fitted curve: `matrix` (points × ratios) turns values at the ratios into the curve at `points`."""

    points: Array
    matrix: Array

    def curves(self, values: Array) -> Array:
        """Values (draws × ratios) to smooth curves (draws × points), each about its own mean."""
        mean = values.mean(axis=1, keepdims=True)
        return mean + (values - mean) @ self.matrix.T


def fit_smoother(ratios: Array, values: Array) -> Smoother:
    """Fit RBF + white noise to `values` (one per ratio) by maximum likelihood; prepare the posterior mean."""
    gaps = np.diff(np.sort(ratios))
    span = ratios.max() - ratios.min()
    centred = values - values.mean()
    bounds = [(np.log(gaps.min()), np.log(2 * span)), (np.log(1e-3), np.log(1.0))]
    starts = [(np.log(length * span), np.log(noise)) for length in (0.1, 0.4) for noise in (0.03, 0.3)]
    fits = [
        minimize(_negative_log_likelihood, start, (ratios, centred), method="L-BFGS-B", bounds=bounds)
        for start in np.clip(starts, *np.transpose(bounds))
    ]
    length, noise = np.exp(min(fits, key=lambda fit: fit.fun).x)
    points = np.linspace(ratios.min(), ratios.max(), GRID)
    covariance = _rbf(ratios, ratios, length) + noise**2 * np.eye(len(ratios))
    matrix = cho_solve(cho_factor(covariance), _rbf(ratios, points, length)).T
    return Smoother(points, matrix)


def _rbf(a: Array, b: Array, length: float) -> Array:
    return np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2)


def _negative_log_likelihood(logs: Array, ratios: Array, centred: Array) -> float:
    """Up to a constant; `logs` are of the length scale and of the noise in units of the signal.

    The signal's variance has a closed form given the other two (Rasmussen & Williams, eq. 5.8 maximised).
    """
    length, noise = np.exp(logs)
    factor = cho_factor(_rbf(ratios, ratios, length) + noise**2 * np.eye(len(ratios)), lower=True)
    signal = centred @ cho_solve(factor, centred) / len(ratios)
    return 0.5 * len(ratios) * np.log(signal + 1e-12) + np.log(np.diag(factor[0])).sum()


def lowest(points: Array, curve: Array) -> float:
    """The middle of the floor around the curve's minimum."""
    at = int(curve.argmin())
    above = np.flatnonzero(curve > curve[at] + FLOOR * np.ptp(curve))
    left = above[above < at].max(initial=-1) + 1
    right = above[above > at].min(initial=len(curve)) - 1
    return float((points[left] + points[right]) / 2)


def interval(ratios: Array, centre: float, draws: Array, level: float) -> tuple[float, float]:
    """The percentile interval of the bootstrap draws, never narrower than the sweep can see.

    Between two neighbouring ratios nothing was rendered, so the interval reaches at least half that gap
    to either side of the optimum. (Simulated on curves with cliffs and 11 ratios, this lifts the coverage
    at a nominal .95 from .65–.89 to over .95; on 21 ratios, with 8 or 16 prompts, to .91–.95.)
    """
    after = int(np.clip(np.searchsorted(ratios, centre), 1, len(ratios) - 1))
    half_gap = (ratios[after] - ratios[after - 1]) / 2
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (ratios[0], ratios[-1])
    low, high = min(low, centre - half_gap), max(high, centre + half_gap)
    return float(max(low, ratios[0])), float(min(high, ratios[-1]))


def optimum(ratios: Array, sums: Array, counts: Array, resamples: int, seed: int) -> tuple[float, Array]:
    """The smoothed optimum and its bootstrap draws.

    Args:
        ratios: the rendered ratios, three or more, ascending.
        sums: prompts × ratios, the loss summed over a prompt's seeds.
        counts: prompts × ratios, how many images each sum holds.

    Returns:
        (optimum, draws): the optimum of all prompts, and one optimum per resample of the prompts.
        The smoother's hyperparameters are fitted once, on all prompts.
    """
    mean = sums.sum(axis=0) / counts.sum(axis=0)
    if np.ptp(mean) == 0:  # no curve at all: every ratio is as good as the next
        return float((ratios[0] + ratios[-1]) / 2), np.empty(0)
    smoother = fit_smoother(ratios, mean)
    centre = lowest(smoother.points, smoother.curves(mean[None])[0])
    prompts = len(sums)
    weights = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    images = weights @ counts
    means = (weights @ sums) / np.maximum(images, 1)
    # a draw that leaves a ratio without any image has no curve there
    curves = smoother.curves(means[(images > 0).all(axis=1)])
    return centre, np.array([lowest(smoother.points, curve) for curve in curves])


def probability_best(ratios: Array, draws: Array) -> Array:
    """The share of the bootstrap's draws that each ratio is nearest to; they sum to 1."""
    nearest = np.abs(draws[:, None] - ratios[None, :]).argmin(axis=1)
    return np.bincount(nearest, minlength=len(ratios)) / len(draws)


def narrowing(
    ratios: Array, sums: Array, counts: Array, resamples: int, seed: int, level: float
) -> list[tuple[int, float]]:
    """(number of prompts, width of the interval) as the bootstrap has it when it draws so many prompts."""
    prompts = len(sums)
    mean = sums.sum(axis=0) / counts.sum(axis=0)
    smoother = fit_smoother(ratios, mean)
    centre = lowest(smoother.points, smoother.curves(mean[None])[0])
    widths = []
    for drawn in sorted({1, 2, 4, 8, 16, 32, 64, prompts, 2 * prompts, 4 * prompts}):
        rng = np.random.default_rng([seed, drawn])
        weights = rng.multinomial(drawn, np.full(prompts, 1 / prompts), size=resamples)
        images = weights @ counts
        means = ((weights @ sums) / np.maximum(images, 1))[(images > 0).all(axis=1)]
        draws = np.array([lowest(smoother.points, curve) for curve in smoother.curves(means)])
        low, high = interval(ratios, centre, draws, level)
        widths.append((drawn, high - low))
    return widths


def prompts_for(width: float, narrowing: list[tuple[int, float]]) -> int:
    """How many prompts make the interval so wide: the first that do, or by 1 / sqrt(prompts) beyond them."""
    for prompts, wide in narrowing:
        if wide <= width:
            return prompts
    prompts, wide = narrowing[-1]
    return int(np.ceil(prompts * (wide / width) ** 2))
