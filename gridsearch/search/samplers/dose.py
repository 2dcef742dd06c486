"""The dose of a merge at several numbers: how much of the other models there is in all.

Each number adds to it by a weight of its own. Trials in which all numbers are equal tell what dial a dose
has, and so the dials of all others tell the weights.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.surrogate import Numbers

WEIGHTS = 8  # possible weights of the dose that are averaged over
SCATTERS = 0.3, 1.5  # of a weight around what is expected, in means of all: where a probe is right; else
ON_LINE, IN_RANGE, BEYOND = 0.002, 0.01, 0.1  # doubt of a dose: on the line, off it, and where dials saturate
LEAST_KNOWN = 2  # dials of the line, below which they tell nothing
EQUAL = 1e-6  # two places no farther apart are one


@dataclass(frozen=True)
class SeenTrials:
    """Trials as the search knows them, in the order of their ends: places (n, d) in the unit cube."""

    places: Numbers
    losses: Numbers
    dials: Numbers  # nan where a trial has none
    survived: Numbers  # the share of sound images
    line: NDArray[np.bool_]  # whether all numbers are at one share of their ranges, as closely as steps allow

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether a trial survives."""
        return self.survived >= SURVIVES

    def part(self, rows: NDArray) -> "SeenTrials":
        """Return those of these rows, a mask or numbers."""
        return SeenTrials(
            self.places[rows], self.losses[rows], self.dials[rows], self.survived[rows], self.line[rows]
        )


@dataclass(frozen=True)
class PossibleWeights:
    """The weights of the dose that trials leave possible (normal), and how likely the trials are."""

    mean: Numbers
    upper: NDArray  # Cholesky factor (d, d) of the precision
    evidence: float

    def draw(self, rng: np.random.Generator) -> Numbers:
        """Return possible weights."""
        return self.mean + scipy.linalg.solve_triangular(self.upper, rng.standard_normal(len(self.mean)))


def possible_weights(
    places: Numbers, off: Numbers, doubt: Numbers, usual: Numbers, scatter: float
) -> PossibleWeights:
    """Return the weights where doses are `off` from what the usual weights say (Bishop 2006, 3.3)."""
    told = places / doubt[:, None]
    precision = told.T @ told + np.eye(len(usual)) / scatter**2
    upper = np.linalg.cholesky(precision).T
    moved = scipy.linalg.cho_solve((upper, False), told.T @ (off / doubt))
    misfit = ((off / doubt) ** 2).sum() - moved @ precision @ moved
    evidence = -0.5 * misfit - np.log(np.diag(upper)).sum() - len(usual) * np.log(scatter)
    return PossibleWeights(usual + moved, upper, float(evidence))


def dose_of(
    seen: SeenTrials, rng: np.random.Generator, told: Numbers | None = None
) -> tuple[Numbers, Numbers]:
    """Return each trial's dose, and weights (k, d) of the numbers that may have made them, likeliest first.

    The dose is the place on the line that has the same dial. Where none has, it is what the weights say.

    Args:
        told: the weights that a probe expects; how far they are followed is as likely as the trials then are.
    """
    dimensions = seen.places.shape[1]
    alike = np.full(dimensions, 1 / dimensions)
    line, dials = seen.line, seen.dials
    known = line & np.isfinite(dials)
    if known.sum() < LEAST_KNOWN:
        usual = alike if told is None else told
        return seen.places @ usual, usual[None]
    order = np.argsort(seen.places[known].mean(1), kind="stable")
    at, there = seen.places[known].mean(1)[order], dials[known][order]
    dials, there = (dials, there) if there[-1] >= there[0] else (-dials, -there)  # models in the other order
    there = np.maximum.accumulate(there) + EQUAL * np.arange(len(there))
    inside = np.isfinite(dials) & (dials > there[0]) & (dials < there[-1])
    doses = np.where(line, seen.places.mean(1), np.interp(np.nan_to_num(dials), there, at))
    doubt = np.where(line, ON_LINE, np.where(inside, IN_RANGE, BEYOND))
    doubt = np.where(np.isfinite(dials) | line, doubt, 1e3)
    supposed = [(alike, SCATTERS[-1])] + ([(told, one) for one in SCATTERS] if told is not None else [])
    kinds = [
        possible_weights(seen.places, doses - seen.places @ usual, doubt, usual, scatter / dimensions)
        for usual, scatter in supposed
    ]
    odds = np.exp([one.evidence - max(kind.evidence for kind in kinds) for one in kinds])
    chosen = [kinds[int(one)] for one in rng.choice(len(kinds), WEIGHTS - 1, p=odds / odds.sum())]
    mean = kinds[int(odds.argmax())].mean
    draws = np.array([one.draw(rng) for one in chosen])
    said = seen.places @ mean
    outside = np.where(dials >= there[-1], np.maximum(said, doses), np.minimum(said, doses))
    outside = np.where(np.isfinite(dials), outside, said)
    return np.where(inside | line, doses, outside), np.r_[mean[None], draws]
