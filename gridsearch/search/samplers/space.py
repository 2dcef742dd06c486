"""The searched parameters as Optuna sees them, and the grid of all their values."""

import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Any

import optuna

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import curve_parameter
from gridsearch.experiment.values import Range, WholeRange, choices_of
from gridsearch.results.store import tidy
from gridsearch.search.samplers.by_name import population
from gridsearch.search.samplers.window import make_axis, window_trials
from gridsearch.search.samplers.window_sampler import MOST_CURVES


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
            parameters[name] = tidy(trial.suggest_float(name, values.low, values.high, step=step))
        elif is_grid and all(isinstance(value, int) for value in values):
            parameters[name] = trial.suggest_int(name, min(values), max(values))
        elif is_grid and all(isinstance(value, int | float) for value in values):
            value = trial.suggest_float(name, min(values), max(values))
            parameters[name] = min(values, key=lambda known: abs(known - value))
        else:
            parameters[name] = trial.suggest_categorical(name, values)
    return parameters


def grid(experiment: Experiment) -> list[dict[str, Any]]:
    """Return every combination of the searched values, coarse before fine, so that a picture forms early.

    Ranges are halved again and again: both ends, the middle, the quarters, ...
    """
    searched = experiment.searched()
    axes = [coarse_to_fine(v.values()) if isinstance(v, Range) else list(v) for v in searched.values()]
    return [dict(zip(searched, point, strict=True)) for point in itertools.product(*axes)]


def coarse_to_fine(values: Sequence[float]) -> list[float]:
    """Return both ends, then the middle of the widest gap, again and again."""
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


# -- how many trials


def planned_trials(experiment: Experiment) -> int:
    """Return how many trials the experiment asks for; about the most, where the search ends by itself."""
    return expected_trials(experiment)[1]


def expected_trials(experiment: Experiment) -> tuple[int, int]:
    """Return the fewest and the most trials that the search will probably take."""
    search = experiment.search
    if search.sampler == "window":
        along = experiment.searched()[main_parameter(experiment)]
        fewest, most = window_trials(make_axis(along.low, along.high, along.step), curve_count(experiment))
        return min(fewest, search.trials or fewest), min(most, search.trials or most)
    trials = len(grid(experiment)) if search.trials is None else search.trials
    return trials, trials


# -- whether a sampler suits what is searched


def main_parameter(experiment: Experiment) -> str:
    """Return the number along which a window is searched, and its curve drawn."""
    main = curve_parameter(experiment.model_dump())
    assert main is not None  # see `require_suits`
    return main


def curve_count(experiment: Experiment) -> int:
    """Return how many curves a window is searched on: the combinations of all but the main parameter."""
    main = main_parameter(experiment)
    return math.prod(len(choices_of(v)) for name, v in experiment.searched().items() if name != main)


def require_suits(experiment: Experiment) -> None:
    """Refuse a sampler that could not search what is searched, with one that can.

    Raises:
        BadInput: it needs a number to search along, or fewer dimensions, or more trials.
    """
    searched, search = experiment.searched(), experiment.search
    numbers = [name for name, values in searched.items() if isinstance(values, Range)]
    if not searched and search.sampler != "grid":
        raise _unsuited(
            search.sampler,
            "nothing is searched",
            "Give a ratio as { low = 0.0, high = 1.0, step = 0.05 }, or leave the sampler out.",
        )
    if search.kind.needs_range and not numbers:
        raise _unsuited(
            search.sampler,
            f"{', '.join(searched)} has no order that it could follow: a list is a choice, of numbers too",
            'Give a number as { low, high, step }, or use the sampler "grid" or "tpe".',
        )
    if search.sampler == "window":
        _require_few_curves(experiment, numbers)
    trials, generation = search.trials, population(search.trials)
    if search.sampler == "nsga2" and trials is not None and trials < 2 * generation:
        raise _unsuited(
            "nsga2",
            f"{trials} trials are less than two generations of it, and the first is random",
            f"Ask for {2 * generation} trials or more, better {10 * generation}.",
        )


def _require_few_curves(experiment: Experiment, numbers: Sequence[str]) -> None:
    main = main_parameter(experiment)
    searched = experiment.searched()
    others = [name for name in searched if name != main]
    if endless := [name for name in others if name in numbers and searched[name].step is None]:
        raise _unsuited(
            "window",
            f"it searches {main} along a curve for each value of {endless[0]}, which has no step",
            f'Give {endless[0]} a step or a list of values, or use the sampler "tpe".',
        )
    if (count := curve_count(experiment)) > MOST_CURVES:
        raise _unsuited(
            "window",
            f"it would search {main} along {count:,} curves, one for each combination of {', '.join(others)}",
            f'{MOST_CURVES} are allowed. Search fewer values, or use the sampler "tpe" or "cmaes".',
        )


def _unsuited(sampler: str, why: str, fix: str) -> BadInput:
    return BadInput(
        f'The sampler "{sampler}" cannot search this.', where="search.sampler", why=f"{why}.", fix=fix
    )
