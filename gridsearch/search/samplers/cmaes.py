"""CMA-ES (Hansen 2016, arXiv:1604.00772) as an Optuna sampler that keeps nothing of its own.

Optuna's own puts its optimiser into the study as a pickle, and to load one is to run what it says. Here the
study's finished trials are told to an optimiser in the order in which they finished, a generation at a time,
and what it would ask next follows from the seed and the trial's number. So a resumed run goes on as an
unbroken one does, and any number of workers may search one study.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from gridsearch.results.shared.optuna_private import SearchSpaceTransform, storage_of, trial_id
from gridsearch.search.samplers.finished import ended_of, kept_for_the_same, numbers_of, with_losses

if TYPE_CHECKING:
    from cmaes import CMA

GENERATION = "cmaes:generation"  # of a trial: when it was asked for
SPREAD = 1 / 6  # at first, around the middle of a range that is 1 wide; a quarter wastes the first trials

Evaluated = tuple[FrozenTrial, float]  # a trial and its loss


@dataclass(frozen=True)
class CmaEs(BaseSampler):
    """A sampler of numbers by CMA-ES, from the middle of their ranges on; `others` samples the rest.

    A generation is 4 + 3 log(n) trials of n numbers: 4 for one, 6 for two, 12 for twenty. A pruned trial
    counts with the loss of the images that it has; one that failed does not count. The
    steps of a stepped range are equally wide, and the value is the middle of the step that was hit. The
    study's first trial is the other sampler's, since Optuna knows no range before it.
    """

    seed: int  # the study's
    others: BaseSampler  # of categorical parameters and of the first trial

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return numbers_of(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        cube = SearchSpaceTransform(search_space, transform_0_1=True)
        replay = _replay_of(self.seed, tuple(search_space.items()))
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        trials = by_generation(ended_of(study), frozenset(search_space), sign)
        optimiser, generation = replay.of(trials, cube)
        storage_of(study).set_trial_system_attr(trial_id(trial), GENERATION, generation)
        optimiser.reseed_rng(seed_for(self.seed, trial.number))
        return cube.untransform(optimiser.ask())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.others.sample_independent(study, trial, param_name, param_distribution)


@kept_for_the_same
def by_generation(
    trials: list[FrozenTrial], space: frozenset[str], sign: float
) -> dict[int, list[Evaluated]]:
    """Return the ended trials that were asked of CMA-ES, in the order of their ends; least is best."""
    found: dict[int, list[Evaluated]] = defaultdict(list)
    for trial, loss in with_losses(trials, space):
        if GENERATION in trial.system_attrs:
            found[trial.system_attrs[GENERATION]].append((trial, sign * loss))
    return dict(found)


@dataclass
class Replay:
    """An optimiser that was told all complete generations. The next trial's goes on from there.

    With 10,000 trials to tell, each proposal took more than a second.
    """

    seed: int
    dimensions: int
    told: list[list[tuple[int, float]]] = field(default_factory=list)  # of each generation: numbers, losses
    optimiser: CMA | None = None

    def of(self, trials: Mapping[int, list[Evaluated]], cube: SearchSpaceTransform) -> tuple[CMA, int]:
        """Return the optimiser after all complete generations, and the number of the one that is not.

        Workers may ask for a few trials more of a generation than it takes: those that finish first count.
        Where the optimiser is at its end, it starts again elsewhere.
        """
        first = [trials.get(number, [])[: len(told)] for number, told in enumerate(self.told)]
        if self.optimiser is None or [*map(_told, first)] != self.told:  # another study, or one written anew
            self.optimiser, self.told = _start(np.full(self.dimensions, 0.5)), []
        while len(own := trials.get(len(self.told), [])) >= self.optimiser.population_size:
            own = own[: self.optimiser.population_size]
            self.optimiser.tell([(cube.transform(trial.params), loss) for trial, loss in own])
            self.told.append(_told(own))
            if self.optimiser.should_stop():
                self.optimiser = _start(
                    np.random.default_rng([self.seed, len(self.told)]).random(self.dimensions)
                )
        return self.optimiser, len(self.told)


def _told(trials: Sequence[Evaluated]) -> list[tuple[int, float]]:
    return [(trial.number, loss) for trial, loss in trials]


@functools.lru_cache(2)
def _replay_of(seed: int, space: tuple[tuple[str, BaseDistribution], ...]) -> Replay:
    return Replay(seed, len(space))


def _start(mean: NDArray[np.float64]) -> CMA:
    from cmaes import CMA  # imports scipy, which takes a second

    return CMA(mean=mean, sigma=SPREAD, bounds=np.tile((0.0, 1.0), (len(mean), 1)))


def seed_for(seed: int, number: int) -> int:
    """Return a trial's seed, below 2**32. A sum would be the same for study 0's trial 5 and study 1's 4."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
