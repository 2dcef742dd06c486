"""A trial's parameters in the decimals in which they are written, so that equal ones compare equal."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from gridsearch.results import store


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's parameters; of one that has not asked for all of them, those fixed beforehand."""
    return tidied(as_given(trial))


def as_given(trial: FrozenTrial) -> dict[str, Any]:
    """Return the same parameters with every digit that they have."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def tidied(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without floating-point noise: 0.30000000000000004 is 0.3."""
    return {name: store.tidy(value) for name, value in parameters.items()}
