"""A search of several numbers by a Gaussian process, from the merges in which all of them are equal.

It makes use of what a merge is. All numbers at the same share of their ranges are the familiar merge at one
ratio, so the line of these is searched first, by halves, for images that survive. The dial of any other
trial tells which trial of the line it looks like: its *dose*, to which each number adds by a weight of its
own. The model (`loss_model`) knows numbers and dose, and the next trial is the one of most expected
improvement in a box around the best (TuRBO: Eriksson et al. 2019, arXiv:1910.01739), averaged over weights
that the dials leave possible.

Like CMA-ES here it keeps nothing: all follows from the finished trials, the seed, and the trial's number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from gridsearch.results import store
from gridsearch.results.analysis.sensitivity import SensitivityMap
from gridsearch.results.shared.optuna_private import SearchSpaceTransform
from gridsearch.score.score import number
from gridsearch.search.samplers.dose import EQUAL, SeenTrials, dose_of
from gridsearch.search.samplers.finished import ended_of, numbers_of, with_losses
from gridsearch.search.samplers.loss_model import LossModel, fit_losses
from gridsearch.search.samplers.surrogate import Numbers

LINE, ALIVE = 8, 2  # trials on the line, at most, and how many that survive end it sooner
NARROWEST_GAP = 0.02  # no gap of the line is halved below it
MOST_TRIALS = 200  # trials that the model is made of, the best ones: its arithmetic grows with their cube
MOST_PENDING = 100  # trials under way of which it is told, those nearest to the best
BOX, LARGEST, BETTER = 0.4, 1.6, 3  # the box's side at first and at most; successes in a row that double it
CANDIDATES, KEPT, COPIES, ROUNDS = 1500, 20, 40, 3


@dataclass(frozen=True)
class Gp(BaseSampler):
    """A sampler of numbers; `others` samples what is none, and numbers that not all trials have.

    A probe tells how the dose is made up, as likely as not, and roughly which numbers matter.
    """

    seed: int  # the study's
    others: BaseSampler
    expected: SensitivityMap | None = None  # of a probe

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return numbers_of(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        cube = SearchSpaceTransform(search_space, transform_0_1=True)
        trials = [one for one in study.get_trials(deepcopy=False) if search_space.keys() <= one.params.keys()]
        if not (ended := with_losses(ended_of(study), frozenset(search_space))):
            return {}
        going = [one for one in trials if one.state in store.UNFINISHED and one.number != trial.number]
        pending = cube_places(going, cube, search_space)
        rng = np.random.default_rng([self.seed, trial.number])
        steps = value_counts(search_space)
        told = told_by(self.expected, list(search_space))
        seen = seen_trials(ended, cube_places([one for one, _ in ended], cube, search_space), steps)
        return cube.untransform(next_place(seen, pending, steps, rng, told))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a place on the line, the same for all numbers, while the study knows no ranges."""
        if not numbers_of(study) and not isinstance(param_distribution, CategoricalDistribution):
            cube = SearchSpaceTransform({param_name: param_distribution}, transform_0_1=True)
            first = trial.number == 0 and self.expected
            place = first.share if first else halves(trial.number)
            return cube.untransform(np.array([place]))[param_name]
        return self.others.sample_independent(study, trial, param_name, param_distribution)


def told_by(expected: SensitivityMap | None, names: Sequence[str]) -> tuple[Numbers, Numbers] | None:
    """Return what a probe tells of each number: its weight in the dose, and its share of what else matters.

    None where there is none, or it does not know them all, or none of them makes pictures stronger.
    """
    known = {one.name: one for one in expected.ratios} if expected else {}
    if not expected or not set(names) <= known.keys():
        return None
    doses = np.array([known[name].spread for name in names])
    doses = np.maximum(doses * np.sign(doses.sum()), 0.0)  # paler the more of them, in the other order
    matter = np.array([abs(expected.wrong(known[name])) for name in names])
    matter += matter.mean()
    return (doses / doses.sum(), matter / matter.sum()) if doses.any() and matter.any() else None


def value_counts(space: dict[str, BaseDistribution]) -> Numbers:
    """Return how many values each number has; infinite without a step."""
    ranges = [one for one in space.values() if isinstance(one, FloatDistribution | IntDistribution)]
    return np.array([round((r.high - r.low) / r.step) + 1 if r.step else np.inf for r in ranges])


def halves(number: int) -> float:
    """Return a half, a quarter, three quarters, an eighth, ... (van der Corput 1935)."""
    digits = f"{number + 1:b}"[::-1]
    return int(digits, 2) / 2 ** len(digits)


def finest(steps: Numbers) -> float:
    """Return how far apart two places of the line are at least."""
    return max(NARROWEST_GAP, 1 / float(steps.min()))


def on_line(places: Numbers, steps: Numbers) -> NDArray[np.bool_]:
    """Return whether all numbers of a place are at one share of their ranges."""
    return np.ptp(places, axis=1) < finest(steps)


def cube_places(
    trials: Sequence[FrozenTrial], cube: SearchSpaceTransform, space: dict[str, BaseDistribution]
) -> Numbers:
    """Return the places (n, d) of trials in the unit cube, told by two corners: no range is logarithmic."""
    ends = [{name: getattr(one, end) for name, one in space.items()} for end in ("low", "high")]
    values = np.array([[*one.values()] for one in ends], dtype=float)
    corners = np.array([cube.transform(one) for one in ends])
    given = np.array([[trial.params[name] for name in space] for trial in trials], dtype=float)
    shares = (given.reshape(-1, len(space)) - values[0]) / (values[1] - values[0])
    return corners[0] + shares * (corners[1] - corners[0])


def seen_trials(trials: Sequence[tuple[FrozenTrial, float]], places: Numbers, steps: Numbers) -> SeenTrials:
    """Return what these trials came to, which were at these places (n, d)."""
    found = [trial.user_attrs.get(store.SUMMARY, {}) for trial, _ in trials]
    return SeenTrials(
        places,
        np.array([loss for _, loss in trials], dtype=float),
        np.array([number(one.get("dial")) for one in found]),
        np.array([one.get("survived", 1.0) for one in found], dtype=float),
        on_line(places, steps),
    )


def next_place(
    seen: SeenTrials,
    pending: Numbers,
    steps: Numbers,
    rng: np.random.Generator,
    told: tuple[Numbers, Numbers] | None = None,
) -> Numbers:
    """Return the next place (d,) in the unit cube, `pending` (m, d) being under way.

    Args:
        told: of each number, its expected weight in the dose, and its share of what else matters.
    """
    weights_told, matter = told or (None, None)
    waiting = pending[on_line(pending, steps)] if len(pending) else pending
    alive = int((seen.alive & seen.line).sum()) + len(waiting) // 2  # of which as many may be expected
    if alive < ALIVE and int(seen.line.sum()) + len(waiting) < LINE:
        at = np.r_[seen.places[seen.line].mean(1), waiting.mean(1) if len(waiting) else []]
        dials = np.r_[seen.dials[seen.line], np.full(len(waiting), np.nan)]
        if (place := next_on_line(at, dials, finest(steps))) is not None:
            return np.full(seen.places.shape[1], place)
    known = seen.part(np.argsort(seen.losses, kind="stable")[:MOST_TRIALS])
    doses, weights = dose_of(known, rng, weights_told)
    near = np.argsort(np.abs(pending - known.places[0]).max(1), kind="stable")[:MOST_PENDING]
    going = np.c_[pending[near], pending[near] @ weights[0]]
    model = fit_losses(np.c_[known.places, doses], known.losses, known.survived, going, matter)
    tried = np.r_[seen.places, pending]
    least = float(known.losses[0])
    return best_of(model, weights, known.places[0], least, box_of(seen, steps), tried, steps, rng)


# -- the line


def next_on_line(at: Numbers, dials: Numbers, least: float) -> float | None:
    """Return the middle of the gap of the line that is to be halved next; None where all are small.

    First those between under- and over-cooked, then the widest; at an end the one that the dial points to.
    """
    order = np.argsort(at, kind="stable")
    places, found = np.r_[0.0, at[order], 1.0], np.r_[np.nan, dials[order], np.nan]
    gaps = []
    for low, high, before, after in zip(places, places[1:], found, found[1:], strict=False):
        if high - low >= least:
            points = bool(before < 0 and np.isnan(after)) or bool(after > 0 and np.isnan(before))
            gaps.append((bool(before * after < 0), high - low, points, (low + high) / 2))
    return max(gaps)[-1] if gaps else None


# -- the box


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


def best_of(
    model: LossModel,
    weights: Numbers,
    best: Numbers,
    least: float,
    side: float,
    tried: Numbers,
    steps: Numbers,
    rng: np.random.Generator,
) -> Numbers:
    """Return the untried place in the box around the best of which most is expected."""
    low, high = np.maximum(best - side / 2, 0), np.minimum(best + side / 2, 1)
    shape = (CANDIDATES, len(best))
    changed = rng.random(shape) < min(1.0, 10 / len(best))
    places = np.where(changed, low + (high - low) * rng.random(shape), best)
    near = rng.choice([0.05, 0.15], (CANDIDATES // 2, 1)) * side
    places = np.r_[places, best + rng.standard_normal((CANDIDATES // 2, len(best))) * near]
    for turn in range(ROUNDS + 1):
        places = untried(on_steps(places, steps), tried)
        gains = log_improvement(*model.predict(places, weights @ places.T), least)
        _, distinct = np.unique(-np.logaddexp.reduce(gains, axis=0), return_index=True)
        places = places[distinct[:KEPT]]
        if turn < ROUNDS:
            copies = np.repeat(places, COPIES, axis=0)
            moved = rng.random(copies.shape) < min(1.0, 2 / len(best))
            noise = rng.standard_normal(copies.shape) * side / 4
            places = np.r_[places, np.where(moved, np.clip(copies + noise, low, high), copies)]
    return places[0]


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
