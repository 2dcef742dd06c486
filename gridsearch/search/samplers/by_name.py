"""Optuna's samplers, and our own, under the names of the experiment file."""

import warnings

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from gridsearch.search.samplers.cmaes import CmaEs, seed_for

LEAST_POPULATION, MOST_POPULATION = 6, 50
GENERATIONS = 6  # that NSGA-II has at least, where its trials allow


def make_sampler(name: str, seed: int, trial: int, trials: int | None = None) -> BaseSampler:
    """Return the sampler for one trial.

    Its random state follows from the seed and the trial's number, so that a resumed run asks for the same
    parameters as an unbroken one.

    Args:
        trial: its number.
        trials: how many there will be; NSGA-II's generations follow from it.
    """
    own = seed_for(seed, trial)
    match name:
        case "grid" | "random":
            return RandomSampler(seed=own)
        case "tpe":
            return TPESampler(seed=own)
        case "gp":
            return GPSampler(seed=own)
        case "cmaes":
            return CmaEs(seed, TPESampler(seed=own))
        case "qmc":
            return _Sobol(seed, trial)
        case "nsga2":
            return NSGAIISampler(population_size=population(trials), seed=own)
    raise ValueError(f"there is no sampler {name!r}")


def population(trials: int | None) -> int:
    """Return the size of a generation of NSGA-II: a sixth of all trials, within 6 to 50 (Optuna's own)."""
    share = MOST_POPULATION if trials is None else trials // GENERATIONS
    return min(MOST_POPULATION, max(LEAST_POPULATION, share))


class _Sobol(QMCSampler):
    """Each trial's own point of one scrambled sequence (Owen 1998), but the first's, which is random.

    Optuna counts the points that were asked for, and so leaves one out where a trial is taken up again.
    """

    def __init__(self, seed: int, trial: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(
                seed=seed,
                scramble=True,
                independent_sampler=RandomSampler(seed=seed_for(seed, trial)),
                warn_independent_sampling=False,
            )
        self._trial = trial

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return max(self._trial - 1, 0)
