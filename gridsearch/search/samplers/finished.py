"""The finished trials as samplers learn from them: which numbers they share, and the loss of each."""

from collections.abc import Collection
from math import inf

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from gridsearch.results import store
from gridsearch.search.racing import NEVER_BEST


def numbers_of(study: Study) -> dict[str, BaseDistribution]:
    """Return the ranges of the numbers that every trial of the study has; none before its first has ended."""
    space = IntersectionSearchSpace(include_pruned=True).calculate(study)
    return {
        name: distribution
        for name, distribution in space.items()
        if not isinstance(distribution, CategoricalDistribution) and not distribution.single()
    }


def ended_with_losses(study: Study, space: Collection[str]) -> list[tuple[FrozenTrial, float]]:
    """Return the trials that have all of these parameters, in the order of their ends, each with its loss.

    That is the mean of its images' (`score.image_losses`), or its value where none is kept. The value, by
    which trials are ranked, jumps with each lost image; the loss says how near a trial is as well. One that
    was stopped is worse than the best until then, whatever its few images came to.
    """
    trials = study.get_trials(deepcopy=False, states=store.ENDED)
    least, found = inf, []
    for trial in sorted(trials, key=lambda one: (one.datetime_complete, one.number)):
        if not set(space) <= trial.params.keys() or trial.value is None:
            continue
        summary = trial.user_attrs.get(store.SUMMARY)
        loss = trial.value if summary is None else float(summary["loss"])
        if trial.state == TrialState.COMPLETE:
            least = min(least, loss)
        elif summary is not None and least < inf:
            loss = max(loss, least + NEVER_BEST)
        found.append((trial, loss))
    return found
