"""Optuna's samplers under the names of the experiment file."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler


def make_sampler(name: str, seed: int, trial: int) -> BaseSampler:
    """The sampler for one trial.

    Its random state follows from the seed and the trial's number, so that a resumed run asks for the same
    parameters as an unbroken one. A quasi-Monte-Carlo sequence is itself indexed by trial and keeps one seed.
    """
    if name == "qmc":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(seed=seed, scramble=True)
    samplers = {"grid": RandomSampler, "random": RandomSampler, "tpe": TPESampler, "gp": GPSampler}
    return samplers[name](seed=seed + trial)
