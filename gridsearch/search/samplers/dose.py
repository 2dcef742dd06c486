"""The dose of a merge at several numbers: how much of the other models there is in all.

Each number adds to it by a weight of its own. Trials in which all numbers are equal tell what dial a dose
has, and so the dials of all others tell the weights.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.surrogate import Numbers

WEIGHTS = 8  # possible weights of the dose that are averaged over
# of a weight around what is expected, in means of all: where a probe is right, where not, and without one,
# so wide that of weights none of which is negative a few may make up all
SCATTERS, ALONE = (0.3, 1.5), 5.0
ON_LINE, BEYOND = 0.002, 0.1  # doubt of a dose: on the line, and where dials saturate
# A dial between two of the line may mean another dose than a straight line says, and nearly equal dials
# nearly the same one. Supposed of a trial off the line: how far off that is, and what else is in doubt.
CURVED = tuple(itertools.product((0.0, 0.1), (0.001, 0.003, 0.01)))
BEND = 0.1  # doses so far apart may be off in different ways
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
    """The weights of the dose that trials leave possible: normal, but that none is negative.

    Attributes:
        middle: (d,) the mean, were they allowed to be negative.
        upper: (d, d) the Cholesky factor of the precision.
        evidence: the logarithm of how likely the trials are.
    """

    middle: Numbers
    upper: NDArray
    evidence: float

    @property
    def likeliest(self) -> Numbers:
        """The likeliest weights."""
        return self._nearest(np.zeros(len(self.middle)))

    def draw(self, rng: np.random.Generator) -> Numbers:
        """Return possible weights: the likeliest after a random error (Bardsley & Hansen 2020)."""
        return self._nearest(rng.standard_normal(len(self.middle)))

    def _nearest(self, error: Numbers) -> Numbers:
        return scipy.optimize.nnls(self.upper, self.upper @ self.middle + error)[0]


def possible_weights(
    places: Numbers, off: Numbers, doubt: Numbers, usual: Numbers, scatter: float
) -> PossibleWeights:
    """Return the weights where doses are `off` from what the usual weights say (Bishop 2006, 3.3).

    Args:
        doubt: (n, n) the covariance of the doses.
    """
    factor = np.linalg.cholesky(doubt)
    told, missed = (scipy.linalg.solve_triangular(factor, one, lower=True) for one in (places, off))
    precision = told.T @ told + np.eye(len(usual)) / scatter**2
    upper = np.linalg.cholesky(precision).T
    moved = scipy.linalg.cho_solve((upper, False), told.T @ missed)
    misfit = missed @ missed - moved @ precision @ moved
    sizes = np.log(np.diag(upper)).sum() + np.log(np.diag(factor)).sum() + len(usual) * np.log(scatter)
    return PossibleWeights(usual + moved, upper, float(-0.5 * misfit - sizes))


def bends(doses: Numbers, known: Numbers, height: float) -> Numbers:
    """Return the covariance (n, n) of what doses are off, which are right where they are known."""

    def near(one: Numbers, other: Numbers) -> Numbers:
        return height**2 * np.exp(-0.5 * ((one[:, None] - other) / BEND) ** 2)

    across = near(doses, known)
    inner = near(known, known) + (1e-6 * height**2 + 1e-12) * np.eye(len(known))
    return near(doses, doses) - across @ np.linalg.solve(inner, across.T)


@dataclass(frozen=True)
class PossibleDoses:
    """The doses that trials may have.

    Attributes:
        doses: (n,) the likeliest of each trial.
        likeliest: (d,) the weights that make them.
        kinds, odds: what else the weights may be, and how likely each is.
    """

    doses: Numbers
    likeliest: Numbers
    kinds: tuple[PossibleWeights, ...] = ()
    odds: Numbers | None = None

    def weights(self, rng: np.random.Generator) -> Numbers:
        """Return weights (k, d) of the numbers that may have made the doses, the likeliest first."""
        if not self.kinds:
            return self.likeliest[None]
        chosen = rng.choice(len(self.kinds), WEIGHTS - 1, p=self.odds)
        return np.r_[self.likeliest[None], [self.kinds[int(one)].draw(rng) for one in chosen]]


def possible_doses(seen: SeenTrials, told: Numbers | None = None) -> PossibleDoses:
    """Return each trial's dose: the place on the line that has the same dial, or else what the weights say.

    Args:
        told: the weights that a probe expects; how far they are followed is as likely as the trials then are.
    """
    usual = np.full(seen.places.shape[1], 1 / seen.places.shape[1])
    known = seen.line & np.isfinite(seen.dials)
    if known.sum() < LEAST_KNOWN:
        usual = usual if told is None else told
        return PossibleDoses(seen.places @ usual, usual)
    order = np.argsort(seen.places[known].mean(1), kind="stable")
    at, there = seen.places[known].mean(1)[order], seen.dials[known][order]
    sign = 1 if there[-1] >= there[0] else -1  # of models in the other order
    dials, there = sign * seen.dials, sign * there
    there = np.maximum.accumulate(there) + EQUAL * np.arange(len(there))
    inside = np.isfinite(dials) & (dials > there[0]) & (dials < there[-1])
    doses = np.where(seen.line, seen.places.mean(1), np.interp(np.nan_to_num(dials), there, at))
    own = np.where(seen.line, ON_LINE, np.where(np.isfinite(dials), BEYOND, 1e3))
    supposed = [(usual, ALONE)]
    if told is not None:
        supposed = [(usual, SCATTERS[-1]), *((told, one) for one in SCATTERS)]
    kinds, shifts = [], []
    for height, doubt in CURVED:
        bend = bends(doses, at, height) * np.outer(inside, inside)
        whole = bend + np.diag(np.where(inside & ~seen.line, doubt, own) ** 2)
        for expected, scatter in supposed:
            off = doses - seen.places @ expected
            kinds.append(possible_weights(seen.places, off, whole, expected, scatter / len(usual)))
            shifts.append(bend @ np.linalg.solve(whole, seen.places @ kinds[-1].likeliest - doses))
    odds = np.exp([one.evidence - max(kind.evidence for kind in kinds) for one in kinds])
    mean, shift = kinds[int(odds.argmax())].likeliest, shifts[int(odds.argmax())]
    said = seen.places @ mean
    outside = np.where(dials >= there[-1], np.maximum(said, doses), np.minimum(said, doses))
    outside = np.where(np.isfinite(dials), outside, said)
    found = np.where(seen.line, doses, np.where(inside, doses + shift, outside))
    return PossibleDoses(found, mean, tuple(kinds), odds / odds.sum())
