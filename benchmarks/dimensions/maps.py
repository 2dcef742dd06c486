"""The map that a probe would make of a problem, right, half right, or wrong."""

import numpy as np

from benchmarks.dimensions.problems import Array, Problem
from gridsearch.results.analysis.probe import FAILS
from gridsearch.results.analysis.sensitivity import Sensitivity, SensitivityMap

RIGHT = {
    "gp, right map": 1.0,
    "gp, half right": 0.5,
    "gp, wrong map": 0.0,
}  # correlation with the true slopes
AROUND = 0.05  # of its range: how far a number is moved either way
MISSES = 0.07  # standard deviation of the share that is taken for the best


def map_of_problem(of: Problem, right: float, rng: np.random.Generator) -> SensitivityMap:
    """The slopes of dose and flaw near the best share, mixed with the same in any order."""
    ends = [(name, along.low, along.high) for name, along in of.space.items()]

    def place(share: float) -> dict[str, float]:
        return {name: low + share * (high - low) for name, low, high in ends}

    shares = np.linspace(0.05, 0.95, 19)
    best = float(shares[np.argmin([of.true_loss(place(share)) for share in shares])])
    best = float(np.clip(best + rng.normal(0, MISSES), 0.05, 0.95))
    moved = [
        [place(best) | {name: place(best + way)[name]} for way in (-AROUND, AROUND)] for name, *_ in ends
    ]
    slopes = [
        np.array([of_one(after) - of_one(before) for before, after in moved]) / (2 * AROUND)
        for of_one in (of.dose, of.flaw)
    ]
    doses, flaws = (mixed(one, right, rng) for one in slopes)
    ratios = zip(of.space, (flaws + doses) / FAILS, doses, strict=True)
    found = tuple(Sensitivity(name, float(off), float(dose), 1.0) for name, off, dose in ratios)
    return SensitivityMap(best, 0.5, 1.1, found)


def mixed(values: Array, right: float, rng: np.random.Generator) -> Array:
    """Values of the same mean and spread that correlate with these by so much, on average."""
    off = values - values.mean()
    return values.mean() + right * off + np.sqrt(1 - right**2) * rng.permutation(off)
