"""CMA-ES (Hansen 2016, arXiv:1604.00772) as an Optuna sampler that keeps nothing of its own.

Optuna's own puts its optimiser into the study as a pickle, and to load one is to run what it says. Here the
optimiser is made anew for each trial: the study's finished trials are told to it in the order in which they
finished, a generation at a time, and what it would ask next follows from the seed and the trial's number. So
a resumed run goes on as an unbroken one does, and any number of workers may search one study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from gridsearch.results.shared.optuna_private import SearchSpaceTransform, storage_of, trial_id
from gridsearch.search.samplers.finished import ended_with_losses, numbers_of

if TYPE_CHECKING:
    from cmaes import CMA

GENERATION = "cmaes:generation"  # of a trial: when it was asked for
SPREAD = 1 / 6  # at first, around the middle of a range that is 1 wide; a quarter wastes the first trials

Evaluated = tuple[int, NDArray[np.float64], float]  # a trial's generation, place in the unit cube, and value


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
        trials = finished_trials(study, cube, search_space)
        optimiser, generation = replayed(self.seed, len(search_space), trials)
        storage_of(study).set_trial_system_attr(trial_id(trial), GENERATION, generation)
        optimiser.reseed_rng(seed_for(self.seed, trial.number))
        return cube.untransform(optimiser.ask())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.others.sample_independent(study, trial, param_name, param_distribution)


def finished_trials(
    study: Study, cube: SearchSpaceTransform, space: Mapping[str, BaseDistribution]
) -> list[Evaluated]:
    """Return the finished trials that were asked of CMA-ES, in the order of finishing; least is best."""
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    return [
        (trial.system_attrs[GENERATION], cube.transform(trial.params), sign * loss)
        for trial, loss in ended_with_losses(study, space)
        if GENERATION in trial.system_attrs
    ]


def replayed(seed: int, dimensions: int, trials: Sequence[Evaluated]) -> tuple[CMA, int]:
    """Return the optimiser after all complete generations, and the number of the one that is not.

    Workers may ask for a few trials more of a generation than it takes: those that finish first count. Where
    the optimiser is at its end, it starts again elsewhere.
    """
    optimiser = _start(np.full(dimensions, 0.5))
    generation = 0
    while len(own := [(x, value) for g, x, value in trials if g == generation]) >= optimiser.population_size:
        optimiser.tell(own[: optimiser.population_size])
        generation += 1
        if optimiser.should_stop():
            optimiser = _start(np.random.default_rng([seed, generation]).random(dimensions))
    return optimiser, generation


def _start(mean: NDArray[np.float64]) -> CMA:
    from cmaes import CMA  # imports scipy, which takes a second

    return CMA(mean=mean, sigma=SPREAD, bounds=np.tile((0.0, 1.0), (len(mean), 1)))


def seed_for(seed: int, number: int) -> int:
    """Return a trial's seed, below 2**32. A sum would be the same for study 0's trial 5 and study 1's 4."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
