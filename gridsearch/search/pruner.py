"""Racing: a trial reports its images one by one, and is stopped where it cannot win any more.

A step of a trial is a case, by its place in the study's order, and the value reported there is that image's
loss (`gridsearch.loss`): 1 and more is a failed image.
"""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, WilcoxonPruner
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import binom

from gridsearch.loss import SURVIVES

HOPELESS = 0.02  # the chance that a trial which would survive looks as bad as this
WORSE = 0.02  # p of the Wilcoxon test on paired images, which is made again after each rung
START = 6  # paired images before that test is made


class Racing(BasePruner):
    """Stops a trial that would not survive, or that is clearly worse than the best on the same images.

    Would not survive: so few images are sound that it has a chance below `HOPELESS` to look like this, did
    it keep the share that it must (a one-sided binomial test: none of the first six, one of nine).
    Clearly worse: the Wilcoxon signed-rank test on paired images, by Optuna's pruner.

    Args:
        edges: whether the edges of what survives matter, as for `window`: then a trial that may survive or
            not is drawn to its end, however much worse than the best it is.
    """

    def __init__(self, edges: bool = False) -> None:
        self._edges = edges
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._paired = WilcoxonPruner(p_threshold=WORSE, n_startup_steps=START)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self.reason(study, trial) is not None

    def reason(self, study: optuna.Study, trial: FrozenTrial) -> str | None:
        """Why the trial should be stopped; None where it should not."""
        losses = trial.intermediate_values.values()
        drawn, sound = len(losses), sum(loss < 1 for loss in losses)
        if drawn and binom.cdf(sound, drawn, SURVIVES) < HOPELESS:
            return f"{sound} of the first {drawn} images sound"
        undecided = self._edges and binom.sf(sound - 1, drawn, SURVIVES) >= HOPELESS
        whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not whole or undecided or not self._paired.prune(study, trial):
            return None
        return f"worse than trial {study.best_trial.number} on the same {drawn} images"
