"""The box around the best trial of a search, and the places in it that promise most."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
import scipy

from gridsearch.search.samplers.dose import EQUAL, SeenTrials
from gridsearch.search.samplers.loss_model import LossModel
from gridsearch.search.samplers.surrogate import Numbers

BOX, LARGEST, BETTER = 0.4, 1.6, 3  # the box's side at first and at most; successes in a row that double it
CANDIDATES, KEPT, COPIES, ROUNDS = 1500, 20, 40, 3


def box_of(seen: SeenTrials, steps: Numbers) -> float:
    """Return the side of the box around the best, as the trials off the line leave it.

    Some better ones in a row double it, as many worse ones as a quarter of the numbers halve it, and where
    it is no wider than the steps it begins anew.
    """
    side, better, worse, least = BOX, 0, 0, np.inf
    patience = max(4, len(steps) // 4)
    smallest = max(1 / 64, 3 / (float(steps.max()) - 1)) if isfinite(steps.max()) else 1 / 64
    for loss, line in zip(seen.losses, seen.line, strict=True):
        if not line:
            better, worse = (better + 1, 0) if loss < 0.999 * least else (0, worse + 1)
            side, better = (min(LARGEST, 2 * side), 0) if better == BETTER else (side, better)
            side, worse = (side / 2, 0) if worse == patience else (side, worse)
            side = BOX if side < smallest else side
        least = min(least, loss)
    return side


@dataclass(frozen=True)
class Surroundings:
    """A box in the unit cube around the place of the best trial.

    Attributes:
        best: (d,) the place.
        side: of the box.
        steps: how many values each number has.
        least: the best trial's loss.
    """

    best: Numbers
    side: float
    steps: Numbers
    least: float

    def gains(self, model: LossModel, weights: Numbers, places: Numbers) -> Numbers:
        """Return the logarithm of the gain expected at places (m, d), over all weights (k, d) of the dose."""
        predicted = model.predict(places, weights @ places.T)
        return np.logaddexp.reduce(log_improvement(*predicted, self.least), axis=0)

    def promising(
        self, model: LossModel, weights: Numbers, tried: Numbers, rng: np.random.Generator
    ) -> Numbers:
        """Return untried places (k, d) in the box, the one of which most is expected first."""
        best, side, width = self.best, self.side, len(self.best)
        low, high = np.maximum(best - side / 2, 0), np.minimum(best + side / 2, 1)
        shape = (CANDIDATES, width)
        changed = rng.random(shape) < min(1.0, 10 / width)
        places = np.where(changed, low + (high - low) * rng.random(shape), best)
        near = rng.choice([0.05, 0.15], (CANDIDATES // 2, 1)) * side
        places = np.r_[places, best + rng.standard_normal((CANDIDATES // 2, width)) * near]
        for turn in range(ROUNDS + 1):
            places = untried(on_steps(places, self.steps), tried)
            _, distinct = np.unique(-self.gains(model, weights, places), return_index=True)
            places = places[distinct]
            if turn < ROUNDS:
                copies = np.repeat(places[:KEPT], COPIES, axis=0)
                moved = rng.random(copies.shape) < min(1.0, 2 / width)
                noise = rng.standard_normal(copies.shape) * side / 4
                moves = np.where(moved, np.clip(copies + noise, low, high), copies)
                places = np.r_[places[:KEPT], moves]
        return places


def on_steps(places: Numbers, steps: Numbers) -> Numbers:
    """Return the places on their steps, each the middle of its part of the unit cube, as Optuna has them."""
    places = np.clip(places, 0.0, 1.0)
    finite = np.isfinite(steps)
    counts = np.where(finite, steps, 1.0)
    middles = (np.minimum(np.floor(places * counts), counts - 1) + 0.5) / counts
    return np.where(finite, middles, places)


def untried(places: Numbers, tried: Numbers) -> Numbers:
    """Return the places that no trial has; all where all are tried."""
    near = (tried >= places.min(0) - EQUAL) & (tried <= places.max(0) + EQUAL)
    if not len(tried := tried[near.all(1)]):
        return places
    new = scipy.spatial.distance.cdist(places, tried, "chebyshev").min(1) >= EQUAL
    return places[new] if new.any() else places


def log_improvement(mean: Numbers, deviation: Numbers, least: float) -> Numbers:
    """Return the logarithm of the expected improvement (Ament et al. 2023, arXiv:2310.20708)."""
    z = (least - mean) / deviation
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    near = np.log(np.maximum(z * scipy.special.ndtr(z) + density, 1e-300))
    far = -0.5 * z**2 - np.log(np.sqrt(2 * np.pi) * np.maximum(z**2, 1.0))
    return np.log(deviation) + np.where(z > -6, near, far)
