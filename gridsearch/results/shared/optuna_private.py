"""Private parts of Optuna that others use, with the reason for each; only `optuna_tables` uses more of them.

Written for Optuna 5.0. Where a newer version changes one of these parts, this is the place to mend.
"""

import copy
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import _MixtureOfProductDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

__all__ = ["FrozenStudy", "SearchSpaceTransform"]  # a storage has to return the one; CMA-ES needs the other

SearchSpaceTransform = _SearchSpaceTransform
Kernels = _MixtureOfProductDistribution  # of TPE: their weights, and a distribution for each number or choice


# -- handles. A storage's methods are public (`optuna.storages.BaseStorage`), and are the only way to set a
# state or a system attribute of a trial that this process did not ask for. Studies and trials do not say
# which storage and which ids they are of: from a name or a number each id would cost a query.


def storage_of(study: optuna.Study) -> BaseStorage:
    return study._storage


def study_id(study: optuna.Study) -> int:
    return study._study_id


def trial_id(trial: optuna.Trial | FrozenTrial) -> int:
    """Return a trial's id in its storage; its number is another one."""
    return trial._trial_id


def frozen(trial: optuna.Trial) -> FrozenTrial:
    """Return a trial's state as this process has read and written it, without asking the database.

    `Trial` does not tell its reports, and `study.get_trials()` reads everything that is under way.
    """
    return trial._cached_frozen_trial


class StudyOfTrials(optuna.Study):
    """A study that shows its sampler these trials, whatever is in its storage.

    `Study.get_trials` can be overridden, but Optuna's samplers call `_get_trials`.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: BaseSampler,
        trials: Sequence[FrozenTrial],
        storage: BaseStorage | None = None,
    ) -> None:
        super().__init__(study.study_name, storage or storage_of(study), sampler, study.pruner)
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Any = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def asked_in_memory(
    study: optuna.Study, sampler: BaseSampler, trials: Sequence[FrozenTrial], number: int
) -> optuna.Trial:
    """Return a trial of this number beside these, which is in no database yet.

    To ask a database for each parameter, and to read the trial again, takes five transactions.
    """
    memory = InMemoryStorage()
    trial = memory.create_new_trial(memory.create_new_study(study.directions, study.study_name))
    memory._get_trial(trial).number = number
    return optuna.Trial(StudyOfTrials(study, sampler, trials, memory), trial)


def create_trial(study: optuna.Study, asked: optuna.Trial) -> FrozenTrial:
    """Put a trial that was asked for in memory into the study, in one transaction; it is running."""
    made = storage_of(asked.study).get_trial(trial_id(asked))
    created = copy.copy(made)
    created._trial_id = storage_of(study).create_new_trial(study_id(study), made)
    return created


class OptunasTPE(TPESampler):
    """Optuna's TPE, of which a subclass picks the proposals.

    The logarithm of the normal distribution is SciPy's: Optuna's own is plain Python, called for each
    candidate and number.
    """

    def __init__(self, seed: int) -> None:
        from scipy.special import log_ndtr  # a quarter of a second

        super().__init__(seed=seed)
        _truncnorm._log_ndtr = log_ndtr

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Leave no copy of it in the study, as Optuna's does for those who propose at the same time."""
        return self._sample_relative(study, trial, search_space)

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.pick(study, trial, search_space, self._rng.rng)

    def pick(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution], rng: Any
    ) -> dict[str, Any]:
        """Return the values for a space; called where enough trials have ended to learn from."""
        raise NotImplementedError


def kernels_at(places: NDArray[np.float64], space: dict[str, BaseDistribution]) -> Kernels:
    """Return the kernels that Optuna's TPE puts at trials' places (n, d), oldest first, and a wide one."""
    columns = dict(zip(space, places.T, strict=True))
    return _ParzenEstimator(columns, space, _usual_kernels())._mixture_distribution


@functools.cache
def _usual_kernels() -> Any:
    return TPESampler()._parzen_estimator_parameters
