"""The finished trials as samplers learn from them: which numbers they share, and the loss of each."""

import functools
from collections.abc import Callable
from math import inf
from operator import is_
from typing import Concatenate, ParamSpec, TypeVar

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from gridsearch.results import store
from gridsearch.search.racing import NEVER_BEST

_Others = ParamSpec("_Others")
_Answer = TypeVar("_Answer")
_OfEnded = Callable[Concatenate[list[FrozenTrial], _Others], _Answer]


def kept_for_the_same(work: _OfEnded[_Others, _Answer]) -> _OfEnded[_Others, _Answer]:
    """Have a function of trials keep its last answer: between two ends a leader asks for many proposals."""
    last: list[tuple] = []

    @functools.wraps(work)
    def answer(trials: list[FrozenTrial], *args: _Others.args, **kwargs: _Others.kwargs) -> _Answer:
        known = last and last[0][1:3] == (args, kwargs) and len(last[0][0]) == len(trials)
        if not known or not all(map(is_, last[0][0], trials)):
            last[:] = [(trials, args, kwargs, work(trials, *args, **kwargs))]
        return last[0][-1]

    return answer


def ended_of(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study that have ended well, whole or stopped."""
    return study.get_trials(deepcopy=False, states=store.ENDED)


def numbers_of(study: Study) -> dict[str, BaseDistribution]:
    """Return the ranges of the numbers that every trial of the study has; none before its first has ended."""
    shared = shared_by(study).items()
    return {name: one for name, one in shared if not isinstance(one, CategoricalDistribution)}


def shared_by(study: Study) -> dict[str, BaseDistribution]:
    """Return the ranges and lists of values that every trial of the study has and that leave a choice."""
    return _shared(ended_of(study))


@kept_for_the_same
def _shared(trials: list[FrozenTrial]) -> dict[str, BaseDistribution]:
    shared = trials[0].distributions if trials else {}
    for trial in trials:
        if trial.distributions != shared:
            shared = {name: one for name, one in shared.items() if trial.distributions.get(name) == one}
    return {name: one for name, one in sorted(shared.items()) if not one.single()}


@kept_for_the_same
def with_losses(trials: list[FrozenTrial], needed: frozenset[str]) -> list[tuple[FrozenTrial, float]]:
    """Return those of ended trials that have these parameters, in the order of their ends, with their losses.

    That is the mean of a trial's images' (`score.image_losses`), or its value where none is kept. The value,
    by which trials are ranked, jumps with each lost image; the loss says how near a trial is as well. One
    that was stopped is worse than the best until then, whatever its few images came to.
    """
    least, found = inf, []
    for trial in sorted(trials, key=lambda one: (one.datetime_complete, one.number)):
        if not needed <= trial.params.keys() or trial.value is None:
            continue
        summary = trial.user_attrs.get(store.SUMMARY)
        loss = trial.value if summary is None else float(summary["loss"])
        if trial.state == TrialState.COMPLETE:
            least = min(least, loss)
        elif summary is not None and least < inf:
            loss = max(loss, least + NEVER_BEST)
        found.append((trial, loss))
    return found
