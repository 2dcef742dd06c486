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
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from gridsearch.results import store
from gridsearch.results.analysis.sensitivity import SensitivityMap
from gridsearch.results.shared.optuna_private import SearchSpaceTransform
from gridsearch.score.score import number
from gridsearch.search.samplers.box import Surroundings, box_of, untried
from gridsearch.search.samplers.dose import PossibleDoses, SeenTrials, possible_doses
from gridsearch.search.samplers.finished import ended_of, kept_for_the_same, numbers_of, with_losses
from gridsearch.search.samplers.loss_model import LossModel, fit_losses
from gridsearch.search.samplers.surrogate import Numbers

LINE, ALIVE = 8, 2  # trials on the line, at most, and how many that survive end it sooner
NARROWEST_GAP = 0.02  # no gap of the line is halved below it
MOST_TRIALS = 200  # trials that the model is made of, the best ones: its arithmetic grows with their cube
MOST_PENDING = 100  # trials under way of which it is told, those nearest to the best
MANY, SHARED = 32, 200  # trials under way from which on all proposals are of the same places, and how many


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
        learnt = learnt_of(ended_of(study), tuple(search_space.items()), self.expected, self.seed)
        if learnt is None:
            return {}
        cube = SearchSpaceTransform(search_space, transform_0_1=True)
        trials = study.get_trials(deepcopy=False, states=store.UNFINISHED)
        going = [o for o in trials if o.number != trial.number and search_space.keys() <= o.params.keys()]
        pending = cube_places(going, cube, search_space)
        rng = np.random.default_rng([self.seed, trial.number])
        return cube.untransform(learnt.next_place(pending, rng))

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
    all_params = [trial.params for trial in trials]  # a property
    given = np.array([[params[name] for name in space] for params in all_params], dtype=float)
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


@dataclass(frozen=True)
class Learnt:
    """The lessons of the ended trials: the same for all proposals until another trial ends.

    Attributes:
        seen: the trials, in the order of their ends.
        steps: how many values each number has.
        told: of each number, its expected weight in the dose, and its share of what else matters.
        seed: the study's.
    """

    seen: SeenTrials
    steps: Numbers
    told: tuple[Numbers, Numbers] | None
    seed: int

    @cached_property
    def best(self) -> SeenTrials:
        """The best of the trials, the first of them ahead."""
        return self.seen.part(np.argsort(self.seen.losses, kind="stable")[:MOST_TRIALS])

    @cached_property
    def doses(self) -> PossibleDoses:
        """The doses of the best."""
        return possible_doses(self.best, self.told[0] if self.told else None)

    @cached_property
    def model(self) -> LossModel:
        """The model of their losses."""
        places = np.c_[self.best.places, self.doses.doses]
        return fit_losses(places, self.best.losses, self.best.survived, self.told[1] if self.told else None)

    @cached_property
    def box(self) -> Surroundings:
        """The box around the best."""
        return Surroundings(
            self.best.places[0], box_of(self.seen, self.steps), self.steps, float(self.best.losses[0])
        )

    @cached_property
    def shared(self) -> Numbers:
        """The most promising places (k, d), were no trial under way."""
        rng = np.random.default_rng([self.seed, len(self.seen.losses)])
        return self.box.promising(self.model, self.doses.weights(rng), self.seen.places, rng)[:SHARED]

    def next_place(self, pending: Numbers, rng: np.random.Generator) -> Numbers:
        """Return the next place (d,) in the unit cube, `pending` (m, d) being under way."""
        seen = self.seen
        waiting = pending[on_line(pending, self.steps)] if len(pending) else pending
        alive = int((seen.alive & seen.line).sum()) + len(waiting) // 2  # of which as many may be expected
        if alive < ALIVE and int(seen.line.sum()) + len(waiting) < LINE:
            at = np.r_[seen.places[seen.line].mean(1), waiting.mean(1) if len(waiting) else []]
            dials = np.r_[seen.dials[seen.line], np.full(len(waiting), np.nan)]
            if (place := next_on_line(at, dials, finest(self.steps))) is not None:
                return np.full(seen.places.shape[1], place)
        weights = self.doses.weights(rng)
        apart = np.abs(pending - self.best.places[0]).max(1)
        near = pending[np.argsort(apart, kind="stable")[:MOST_PENDING]]
        model = self.model.with_expected(np.c_[near, near @ weights[0]])
        tried = np.r_[seen.places, pending]
        if len(pending) < MANY:
            return self.box.promising(model, weights, tried, rng)[0]
        places = untried(self.shared, pending)
        return places[self.box.gains(model, weights, places).argmax()]


@kept_for_the_same
def learnt_of(
    trials: list[FrozenTrial],
    space: tuple[tuple[str, BaseDistribution], ...],
    expected: SensitivityMap | None,
    seed: int,
) -> Learnt | None:
    """Return what ended trials tell of these numbers, and a probe; None where no trial has them all."""
    numbers = dict(space)
    if not (ended := with_losses(trials, frozenset(numbers))):
        return None
    steps, cube = value_counts(numbers), SearchSpaceTransform(numbers, transform_0_1=True)
    places = cube_places([one for one, _ in ended], cube, numbers)
    return Learnt(seen_trials(ended, places, steps), steps, told_by(expected, list(numbers)), seed)


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
