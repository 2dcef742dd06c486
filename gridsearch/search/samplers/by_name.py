"""The samplers by their names in the experiment file: how many trials each takes, and what it suits."""

import itertools
import math
import warnings
from dataclasses import replace
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import curve_parameter, deciding_choices
from gridsearch.experiment.prompts import cases_of
from gridsearch.experiment.values import Range, choices_of
from gridsearch.results import store
from gridsearch.results.analysis.probe import PROBE, expectation_of
from gridsearch.results.analysis.sensitivity import map_of
from gridsearch.search.samplers.axis import RatioAxis, coarse_to_fine, make_axis
from gridsearch.search.samplers.cmaes import CmaEs, seed_for
from gridsearch.search.samplers.expectation import probed_along
from gridsearch.search.samplers.glance import most_glances
from gridsearch.search.samplers.gp import Gp
from gridsearch.search.samplers.tpe import Tpe
from gridsearch.search.samplers.window_sampler import MOST_CURVES, WindowSampler
from gridsearch.search.samplers.window_trials import window_trials

LEAST_POPULATION, MOST_POPULATION = 6, 50
GENERATIONS = 6  # that NSGA-II has at least, where its trials allow


def sampler_of(experiment: Experiment, number: int, study: Study) -> BaseSampler:
    """Return the sampler for the trial of this number."""
    settings = experiment.search
    if settings.sampler == "window":
        return window_sampler(experiment, study)
    found = make_sampler(settings.sampler, settings.seed, number, settings.trials)
    if isinstance(found, Gp) and settings.probe:
        return replace(found, expected=map_of(store.probe_of(study)))
    return found


def window_sampler(experiment: Experiment, study: Study) -> WindowSampler:
    """Return the sampler of a search for a window."""
    search, cases = experiment.search, len(cases_of(experiment.prompt))  # with those that are held out
    expected = expectation_of(store.probe_of(study))
    if expected and expected.source == PROBE and not search.probe:
        expected = None  # it was asked for before, and is no more
    main, races = _main_parameter(experiment), search.races()
    return WindowSampler(main, search.seed, cases=cases, glances=races, expected=expected)


def expected_glances(experiment: Experiment) -> int:
    """Return how many glances there will be at most, beside whole trials."""
    if experiment.search.sampler != "window" or not experiment.search.races():
        return 0
    glances = most_glances(_along(experiment), len(cases_of(experiment.prompt)))
    limit = experiment.search.trials
    return glances if limit is None else min(glances, limit - expected_trials(experiment)[1])


def _along(experiment: Experiment) -> RatioAxis:
    along = experiment.searched()[_main_parameter(experiment)]
    return make_axis(along.low, along.high, along.step)


def make_sampler(name: str, seed: int, trial: int, trials: int | None = None) -> BaseSampler:
    """Return the sampler for the trial of this number; of `trials`, if known, NSGA-II makes its generations.

    Its random state follows from the seed and the trial's number, so that a resumed run asks for the same
    parameters as an unbroken one.
    """
    own = seed_for(seed, trial)
    match name:
        case "grid" | "random":
            return RandomSampler(seed=own)
        case "tpe":
            return Tpe(own)
        case "gp":
            return Gp(seed, Tpe(own))
        case "cmaes":
            return CmaEs(seed, Tpe(own))
        case "qmc":
            return _Sobol(seed, trial)
        case "nsga2":
            return NSGAIISampler(population_size=population(trials), seed=own)
    raise ValueError(f"there is no sampler {name!r}")


def population(trials: int | None) -> int:
    """Return the size of a generation of NSGA-II: a sixth of all trials, within 6 to 50 (Optuna's own)."""
    share = MOST_POPULATION if trials is None else trials // GENERATIONS
    return min(MOST_POPULATION, max(LEAST_POPULATION, share))


class _Sobol(QMCSampler):
    """Each trial's own point of one scrambled sequence (Owen 1998), but the first's, which is random.

    Optuna counts the points that were asked for, and so leaves one out where a trial is taken up again.
    """

    def __init__(self, seed: int, trial: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(
                seed=seed,
                scramble=True,
                independent_sampler=RandomSampler(seed=seed_for(seed, trial)),
                warn_independent_sampling=False,
            )
        self._trial = trial

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return max(self._trial - 1, 0)


def grid(experiment: Experiment) -> list[dict[str, Any]]:
    """Return every combination of the searched values, coarse before fine, so that a picture forms early.

    Ranges are halved again and again: both ends, the middle, the quarters, ... Of combinations that differ in
    nothing but arguments of methods that they have not chosen, only the first is returned.
    """
    searched = experiment.searched()
    axes = {n: coarse_to_fine(v.values()) if isinstance(v, Range) else list(v) for n, v in searched.items()}
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    deciding = deciding_choices(experiment.places())
    if not deciding:
        return points
    idle = {
        chosen: experiment.without_effect(dict(zip(deciding, chosen, strict=True)))
        for chosen in itertools.product(*(axes[name] for name in deciding))
    }
    return [
        point
        for point in points
        if all(point[name] == axes[name][0] for name in idle[tuple(point[one] for one in deciding)])
    ]


def expected_trials(experiment: Experiment) -> tuple[int, int]:
    """Return the fewest and the most trials that the search will probably take."""
    search = experiment.search
    if search.sampler == "window":
        fewest, most = window_trials(_along(experiment), _curve_count(experiment))
        return min(fewest, search.trials or fewest), min(most, search.trials or most)
    trials = len(grid(experiment)) if search.trials is None else search.trials
    return trials, trials


def _main_parameter(experiment: Experiment) -> str:
    """Return the number along which a window is searched, and its curve drawn."""
    main = curve_parameter(experiment.model_dump())
    assert main is not None  # see `require_suits`
    return main


def _curve_count(experiment: Experiment) -> int:
    """Return how many curves a window is searched on: the combinations of all but the main parameter."""
    main = _main_parameter(experiment)
    return math.prod(len(choices_of(v)) for name, v in experiment.searched().items() if name != main)


def require_suits(experiment: Experiment) -> None:
    """Refuse a sampler that could not search what is searched, with one that can.

    Raises:
        BadInput: it needs a number to search along, or fewer dimensions, or more trials.
    """
    if found := _misfit(experiment):
        what = f'The sampler "{experiment.search.sampler}" cannot search this.'
        raise BadInput(what, where="search.sampler", why=f"{found[0]}.", fix=found[1])


def _misfit(experiment: Experiment) -> tuple[str, str] | None:
    """Return why the sampler cannot search what is searched, and how to mend it; None where it can."""
    searched, search = experiment.searched(), experiment.search
    probed = len(probed_along(experiment))
    if search.earlier and (search.probe or probed != 1):
        fix = "Search one number, without search.probe, or leave out search.earlier."
        return "an earlier study's curve is along one number, and takes the place of a probe", fix
    if search.probe and (probed == 0 or (probed > 1 and search.sampler == "window")):
        return (
            "its probe follows one number, or several ratios for another sampler, and nothing else beside",
            'Search one ratio, or ratios alone with the sampler "gp", or set search.probe = false.',
        )
    numbers = [name for name, values in searched.items() if isinstance(values, Range)]
    if not searched and search.sampler != "grid":
        return (
            "nothing is searched",
            "Give a ratio as { low = 0.0, high = 1.0, step = 0.05 }, or leave the sampler out.",
        )
    if search.kind.needs_range and not numbers:
        return (
            f"{', '.join(searched)} has no order, because a list is a choice, even of numbers",
            'Give a number as { low, high, step }, or use the sampler "grid" or "tpe".',
        )
    if search.sampler == "window":
        main = _main_parameter(experiment)
        others = [name for name in searched if name != main]
        if endless := [name for name in others if name in numbers and searched[name].step is None]:
            return (
                f"it searches {main} along a curve for each value of {endless[0]}, which has no step",
                f'Give {endless[0]} a step or a list of values, or use the sampler "tpe".',
            )
        if (count := _curve_count(experiment)) > MOST_CURVES:
            each = f"one for each combination of {', '.join(others)}"
            return (
                f"it would search {main} along {count:,} curves, {each}",
                f'{MOST_CURVES} are allowed. Search fewer values, or use the sampler "tpe" or "cmaes".',
            )
    trials, generation = search.trials, population(search.trials)
    if search.sampler == "nsga2" and trials is not None and trials < 2 * generation:
        return (
            f"{trials} trials are less than two generations of it, and the first is random",
            f"Ask for {2 * generation} trials or more, better {10 * generation}.",
        )
    return None
