"""The searched parameters: as Optuna asks for them, and those of a trial."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import Range, WholeRange
from gridsearch.results import store


def suggest(trial: optuna.Trial, experiment: Experiment) -> dict[str, Any]:
    """Ask for every searched parameter, in the decimals that were written: 0.3, not 0.30000000000000004.

    The points of a grid are fixed already; its lists of numbers are a range to Optuna, so that they may grow,
    which the choices of a categorical parameter may not.
    """
    parameters = {}
    is_grid = experiment.search.sampler == "grid"
    for name, values in experiment.searched().items():
        if isinstance(values, WholeRange):
            whole = 1 if is_grid else values.step
            parameters[name] = trial.suggest_int(name, values.low, values.high, step=whole)
        elif isinstance(values, Range):
            step = None if is_grid else values.step
            parameters[name] = store.tidy(trial.suggest_float(name, values.low, values.high, step=step))
        elif is_grid and all(isinstance(value, int) for value in values):
            parameters[name] = trial.suggest_int(name, min(values), max(values))
        elif is_grid and all(isinstance(value, int | float) for value in values):
            value = trial.suggest_float(name, min(values), max(values))
            parameters[name] = min(values, key=lambda known: abs(known - value))
        else:
            parameters[name] = trial.suggest_categorical(name, values)
    return parameters


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's parameters; of one that has not asked for all of them, those fixed beforehand."""
    return tidied(as_given(trial))


def as_given(trial: FrozenTrial) -> dict[str, Any]:
    """Return the same parameters with every digit that they have."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def tidied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without floating-point noise, so that equal ones compare equal."""
    return {name: store.tidy(value) for name, value in parameters.items()}
