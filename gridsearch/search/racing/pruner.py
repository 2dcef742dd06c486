"""Racing: a trial reports its images one by one, and is stopped when it cannot win any more.

A step of a trial is a case, by its place in the study's order, and the value reported there is that image's
loss (`gridsearch.score.loss`): 1 and more is a failed image.

A trial is looked at several times, and each look is a chance to be wrong. So the chance is set for all looks
together (`WRONG`) and spent on them as Lan & DeMets 1983 do: as much on the first as six images of one kind
need, and the rest in equal parts on the others.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import optuna
import scipy
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from gridsearch.experiment.tables import LOOK
from gridsearch.score.loss import SURVIVES

WRONG = 0.03  # the chance that a trial is ever stopped which just survives, or is as good as the best
FIRST_LOOK = 0.5**LOOK  # of that for the first look: six images that all failed, or are all worse
ROUNDING = 1e-12


def look_sizes(cases: int) -> range:
    """Return after how many images a trial of so many cases is looked at; not after its last."""
    return range(LOOK, cases, LOOK)


def levels(cases: int) -> dict[int, float]:
    """Return how much each look may add to the chance of being wrong; `WRONG` in all, or less."""
    at = look_sizes(cases)
    return {drawn: (WRONG - FIRST_LOOK) / (len(at) - 1) if drawn > LOOK else FIRST_LOOK for drawn in at}


@cache
def stopping_counts(cases: int) -> Mapping[int, int]:
    """Return the most sound images at which each look still stops the trial; -1 where nothing does.

    The most that keep the chance that a trial is stopped by then, of which half of the images are sound,
    within the levels so far. Exact where images are independent. Really they are the cases at hand in an
    order drawn by lot, a case of every prompt in turn: an urn scatters less, so the true chance is smaller,
    and seeds of one prompt that are alike do no harm.
    """
    most, stopped, allowed = {}, 0.0, 0.0
    going = np.ones(1)  # the chance of each number of sound images, in trials that nothing stopped so far
    for drawn, level in levels(cases).items():
        allowed += level
        going = np.convolve(going, scipy.stats.binom.pmf(np.arange(LOOK + 1), LOOK, SURVIVES))
        below = stopped + np.cumsum(going)
        most[drawn] = int(np.searchsorted(below, allowed + ROUNDING, side="right")) - 1
        stopped = float(below[most[drawn]]) if most[drawn] >= 0 else stopped
        going[: most[drawn] + 1] = 0.0
    return most


def best_complete_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the best of the trials that were drawn whole; None where none is."""
    try:
        return study.best_trial
    except ValueError:
        return None


class Racing(BasePruner):
    """A pruner of trials that would not survive, or are clearly worse than the best on the same images.

    It decides after every six images, whatever the size of the batches that they come in. Would not survive:
    so few are sound (`stopping_counts`; none of the first six). Clearly worse: the Wilcoxon signed-rank test
    on paired images, at that look's level.

    Args:
        cases: how many images a whole trial has.
        edges: whether the edges of what survives matter, as for `window`: then a trial that may survive or
            not is drawn to its end, however much worse than the best it is.
    """

    def __init__(self, cases: int, edges: bool = False) -> None:
        self._cases = cases
        self._edges = edges
        self._stopping_counts = stopping_counts(cases)
        self._levels = levels(cases)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self.reason(study, trial) is not None

    def reason(self, study: optuna.Study, trial: FrozenTrial) -> str | None:
        """Return why the trial should be stopped; None where it should not."""
        # what a stopped trial reports last is no case
        known = sorted(item for item in trial.intermediate_values.items() if item[0] < self._cases)
        drawn = len(known) // LOOK * LOOK
        if drawn not in self._stopping_counts:
            return None
        first = dict(known[:drawn])
        sound = sum(loss < 1 for loss in first.values())
        if sound <= self._stopping_counts[drawn]:
            return f"{sound} of the first {drawn} images healthy"
        undecided = self._edges and drawn - sound > self._stopping_counts[drawn]  # it may survive, or not
        if undecided or (best := best_complete_trial(study)) is None or not self._worse(best, first):
            return None
        return f"worse than trial {best.number} on the same {drawn} images"

    def _worse(self, trial: FrozenTrial, first: Mapping[int, float]) -> bool:
        """Return whether these losses exceed the best trial's of the same cases, at this look's level."""
        best = trial.intermediate_values
        pairs = [(loss, best[step]) for step, loss in first.items() if step in best]
        if len(pairs) < len(first):  # the best is of a version that had no races: nothing to pair with
            return False
        from gridsearch.results.analysis.ranking import (
            signed_rank_p,  # imports pandas, which a plan is spared
        )

        differences = [loss - other for loss, other in pairs]
        level = self._levels[len(first)] + ROUNDING
        # as Optuna's WilcoxonPruner, which stops none that is the better one on average
        return sum(differences) > 0 and signed_rank_p(differences, "greater") < level
