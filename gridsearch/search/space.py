"""The searched parameters as Optuna sees them, and the grid of all their values."""

import heapq
import itertools
from collections.abc import Sequence
from typing import Any

import optuna

from gridsearch.experiment import Experiment
from gridsearch.store import tidy
from gridsearch.values import Range, WholeRange


def suggest(trial: optuna.Trial, experiment: Experiment) -> dict[str, Any]:
    """Ask for every searched parameter, in the decimals that were written: 0.3, not 0.30000000000000004.

    The points of a grid are fixed already; its lists of numbers are a range to Optuna, so that they may grow,
    which the choices of a categorical parameter may not.
    """
    parameters = {}
    is_grid = experiment.search.sampler == "grid"
    for name, values in experiment.searched().items():
        if isinstance(values, WholeRange):
            step = 1 if is_grid else values.step
            parameters[name] = trial.suggest_int(name, values.low, values.high, step=step)
        elif isinstance(values, Range):
            step = None if is_grid else values.step
            parameters[name] = tidy(trial.suggest_float(name, values.low, values.high, step=step))
        elif is_grid and is_whole(values):
            parameters[name] = trial.suggest_int(name, min(values), max(values))
        elif is_grid and is_numeric(values):
            value = trial.suggest_float(name, min(values), max(values))
            parameters[name] = min(values, key=lambda known: abs(known - value))
        else:
            parameters[name] = trial.suggest_categorical(name, values)
    return parameters


def is_whole(values: Sequence) -> bool:
    return all(isinstance(value, int) for value in values)


def is_numeric(values: Sequence) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def grid(experiment: Experiment) -> list[dict[str, Any]]:
    """Every combination of the searched values, coarse before fine, so that a picture forms early.

    Ranges are halved again and again: both ends, the middle, the quarters, ...
    """
    searched = experiment.searched()
    axes = [coarse_to_fine(v.values()) if isinstance(v, Range) else list(v) for v in searched.values()]
    return [dict(zip(searched, point, strict=True)) for point in itertools.product(*axes)]


def coarse_to_fine(values: Sequence[float]) -> list[float]:
    """The ends, then the middle of the widest gap, again and again."""
    last = len(values) - 1
    order = [0, last] if last else [0]
    gaps = [(-last, 0, last)]  # a heap: the widest gap first, of equals the lowest
    while gaps[0][0] < -1:
        _, low, high = heapq.heappop(gaps)
        middle = (low + high) // 2
        order.append(middle)
        heapq.heappush(gaps, (low - middle, low, middle))
        heapq.heappush(gaps, (middle - high, middle, high))
    return [values[i] for i in order]


def planned_trials(experiment: Experiment) -> int:
    """How many trials the experiment asks for."""
    if experiment.search.sampler == "grid":
        return len(grid(experiment))
    if experiment.search.sampler == "window" and experiment.search.trials is None:
        return 40
    return experiment.search.trials


def main_parameter(experiment: Experiment) -> str:
    """The number along which a window is searched: a ratio before any other, then the first."""
    numbers = [name for name, values in experiment.searched().items() if isinstance(values, Range)]
    ratios = [name for name in numbers if "ratio" in name.split(".")]
    return (ratios + numbers)[0]


def require_suits(experiment: Experiment) -> None:
    pass
