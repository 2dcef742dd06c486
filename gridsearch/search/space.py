"""The searched parameters as Optuna sees them, and the grid of all their values."""

import heapq
import itertools
from collections.abc import Sequence
from typing import Any

import optuna

from gridsearch.experiment import Experiment, Range
from gridsearch.store import tidy


def suggest(trial: optuna.Trial, experiment: Experiment) -> dict[str, Any]:
    """Ask for every searched parameter, in the decimals that were written: 0.3, not 0.30000000000000004."""
    parameters = {}
    for name, values in experiment.searched().items():
        if isinstance(values, Range):
            parameters[name] = tidy(trial.suggest_float(name, values.low, values.high, step=values.step))
        else:
            parameters[name] = trial.suggest_categorical(name, values)
    return parameters


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
        return min(len(grid(experiment)), experiment.search.trials or 10**9)
    return experiment.search.trials
