"""The search samplers, each written down once: what it needs of an experiment, and how it searches.

A new one is a line here and a case in `gridsearch.search.samplers.by_name.make_sampler`.
"""

from dataclasses import dataclass

from gridsearch.score.metrics import GOALS


@dataclass(frozen=True)
class SearchSampler:
    """The properties of a search sampler.

    Attributes:
        goals: what it minimises.
        ends_itself: whether it knows when it is done, and needs no number of trials.
        needs_range: whether it follows a number, so that at least one range must be searched.
        learns: whether the next trial depends on what the finished ones came to.
        races: whether trials that cannot win are stopped unless the experiment says otherwise: not where
            every value was asked for, or where only whole trials teach it anything.
        holds_out: whether it keeps a quarter of the prompts apart to confirm the leaders.
    """

    goals: tuple[str, ...] = ("value",)
    ends_itself: bool = False
    needs_range: bool = False
    learns: bool = True
    races: bool = True
    holds_out: bool = False


SEARCH_SAMPLERS = {
    "window": SearchSampler(ends_itself=True, needs_range=True, holds_out=True),
    "grid": SearchSampler(ends_itself=True, learns=False, races=False),
    "tpe": SearchSampler(),
    "gp": SearchSampler(needs_range=True, races=False),  # Gaussian processes learn from whole trials only
    "cmaes": SearchSampler(needs_range=True),
    "qmc": SearchSampler(learns=False),
    "random": SearchSampler(learns=False),
    "nsga2": SearchSampler(goals=GOALS, races=False),  # Optuna prunes no search for two goals
}
