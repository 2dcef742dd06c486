"""The plan of `gridsearch.search.samplers.window` as an Optuna sampler."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import LOOK
from gridsearch.results import store
from gridsearch.results.analysis.probe import Expectation
from gridsearch.results.shared.optuna_private import storage_of, trial_id
from gridsearch.score.score import SURVIVES, number
from gridsearch.search.parameters import as_given, parameters_of, tidied
from gridsearch.search.racing import LAST_STEP, best_complete_trial
from gridsearch.search.samplers import window
from gridsearch.search.samplers.axis import RatioAxis, coarse_left, make_axis
from gridsearch.search.samplers.certain import beyond_edges
from gridsearch.search.samplers.expectation import look_as_expected
from gridsearch.search.samplers.glance import glances
from gridsearch.search.samplers.window import Seen

MOST_CURVES = 100  # each has at least a coarse look of its own
UNTOLD = 2  # images of a glance where no trial is whole: the first prompt may fail everywhere


def seen_in(trial: FrozenTrial, ratio: float) -> Seen:
    """Return the findings of a trial at a ratio, from its `summary`; without one it runs, or has failed."""
    found = trial.user_attrs.get(store.SUMMARY)
    if found is None or not trial.state.is_finished() or trial.state == TrialState.FAIL:
        return Seen(ratio)
    # what its failed images are tells more than the dial, whose zero may be off by what references differ
    dial = found.get("side") or number(found["dial"])
    figures = found["survived"], dial, number(found["loss"]), found["partial"]
    prompts = {row["prompt_id"] for row in store.images_of(trial)}
    losses = {step: loss for step, loss in trial.intermediate_values.items() if step < LAST_STEP}
    return Seen(ratio, *figures, only_glanced(trial), len(prompts), losses, stopped_at_edge(trial))


def only_glanced(trial: FrozenTrial) -> bool:
    """Return whether a trial was stopped as glances are: so soon that it tells little."""
    stopped = trial.state == TrialState.PRUNED and store.GLANCE in trial.user_attrs
    return stopped and len(store.images_of(trial)) <= LOOK


def stopped_at_edge(trial: FrozenTrial) -> bool:
    """Return whether a trial was stopped as it told on which side of an edge it lies."""
    return trial.state == TrialState.PRUNED and store.EDGE in trial.user_attrs


@dataclass(frozen=True)
class WindowSampler(BaseSampler):
    """A sampler that finds the window of one number for each combination of the other parameters (a slice).

    Every slice has its coarse look first. Edges and refinement follow for those that do about as well as the
    best. Each of the others is followed to where its dial turns, where a window too narrow for the coarse
    look would be, and no further. Last of all the best curve has its glances, and ratios beyond its edges.
    """

    main: str  # the parameter's name, along which the window is
    seed: int = 0  # of the order in which slices are looked at
    space: Mapping[str, BaseDistribution] | None = None  # all that is searched; None: once a trial has ended
    cases: int = window.USUAL_CASES  # of a trial
    glances: bool = False  # trials may be stopped after their first images
    expected: Expectation | None = None  # by a probe or an earlier study of the only curve

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial | None = None
    ) -> dict[str, BaseDistribution]:
        if self.space is not None:
            return dict(self.space)
        return IntersectionSearchSpace(include_pruned=True).calculate(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._pick(study, trial, search_space) if self.main in search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample before the space is known: the main parameter by its plan, whatever the others are."""
        if param_name == self.main:
            return self._pick(study, trial, {param_name: param_distribution})[param_name]
        choices = curve_values(param_name, param_distribution)
        return choices[(self.seed + trial.number) % len(choices)]

    def done(self, study: Study) -> bool:
        """Return whether nothing useful is left; not before the space is known."""
        space = self.infer_relative_search_space(study)
        if self.main not in space:
            return False
        slices = self._by_slice(study, space)
        return not (
            self._plan(space, slices, self._first(space, slices))
            or self._glances(space, slices)
            or self._certain(space, slices)
        )

    def _pick(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        # whoever started before and has not said yet what it tries takes the first of the plan
        ahead = sum(
            other.state == TrialState.RUNNING
            and other.number < trial.number
            and self.main not in as_given(other)
            for other in study.get_trials(deepcopy=False)
        )
        axis, slices = _axis(space[self.main]), self._by_slice(study, space, trial.number)
        first, glances = self._first(space, slices), self._glances(space, slices)
        plan = self._plan(space, slices, first) + glances + self._certain(space, slices)
        if ahead >= len(plan):
            gaps = {key: window.widest_gaps(slices[key], axis) for key in _worth_it(slices)}
            plan += [(key, ratio) for key, ratios in gaps.items() for ratio in ratios]
        if not plan:  # all has been tried
            plan = [(key, value) for key in slices for value in axis.values]
        key, ratio = plan[min(ahead, len(plan) - 1)]
        found = dict(key) | {self.main: _as_asked(space[self.main], ratio)}
        if self.glances:
            before = stopped_before(study, found)
            said = {} if before is None else store.batches_of(before)
            if before is None and (key, ratio) in (*first, *glances):
                said = {store.GLANCE: first_sound(study, 1 if (key, ratio) in first else UNTOLD)}
            elif (before is None or only_glanced(before)) and window.at_edge(slices[key], ratio):
                said = {**said, store.EDGE: True}
            for name, value in said.items():
                storage_of(study).set_trial_user_attr(trial_id(trial), name, value)
        return found

    def _by_slice(
        self, study: Study, space: Mapping[str, BaseDistribution], without: int | None = None
    ) -> dict[tuple, list[Seen]]:
        """Return what was seen of each slice, by all trials or without that of one number."""
        others = {name: curve_values(name, one) for name, one in sorted(space.items()) if name != self.main}
        count = math.prod(map(len, others.values()))
        if count > MOST_CURVES:
            what = f"The window sampler would search {count} curves."
            why = f"Each combination of {', '.join(others)} has its own."
            fix = f'Search at most {MOST_CURVES} combinations, or use the sampler "tpe".'
            raise BadInput(what, where="[search] sampler", why=why, fix=fix)
        slices = [tuple(zip(others, values, strict=True)) for values in itertools.product(*others.values())]
        order = np.random.default_rng(self.seed).permutation(count)
        found: dict[tuple, list[Seen]] = {slices[i]: [] for i in order}
        for trial in study.get_trials(deepcopy=False):
            given = as_given(trial)
            if trial.number == without or self.main not in given:
                continue
            key = tuple((name, _tidy(space[name], given.get(name))) for name in others)
            if key in found:
                found[key].append(seen_in(trial, float(given[self.main])))
        return found

    def _plan(
        self,
        space: Mapping[str, BaseDistribution],
        slices: Mapping[tuple, list[Seen]],
        first: list[tuple[tuple, float]],
    ) -> list[tuple[tuple, float]]:
        """Return (slice, ratio): each one's first look, then the best ones' plans, then the others' turns."""
        axis = _axis(space[self.main])
        finest = window.finest_of(self.cases)
        plans = {key: window.next_ratios(slices[key], axis, finest) for key in _worth_it(slices)}
        plans |= {key: window.ratios_at_turn(seen, axis) for key, seen in slices.items() if key not in plans}
        return list(dict.fromkeys(first + [(key, ratio) for key, plan in plans.items() for ratio in plan]))

    def _first(
        self, space: Mapping[str, BaseDistribution], slices: Mapping[tuple, list[Seen]]
    ) -> list[tuple[tuple, float]]:
        """Return (slice, ratio) of what is left of the first look, all slices in turn."""
        axis = _axis(space[self.main])
        if self.expected and len(slices) == 1:
            ((key, seen),) = slices.items()
            return [(key, ratio) for ratio in look_as_expected(self.expected, seen, axis)]
        looks = [
            [(key, ratio) for ratio in coarse_left([one.ratio for one in seen], axis)]
            for key, seen in slices.items()
        ]
        return [item for items in itertools.zip_longest(*looks) for item in items if item]

    def _glances(
        self, space: Mapping[str, BaseDistribution], slices: Mapping[tuple, list[Seen]]
    ) -> list[tuple[tuple, float]]:
        """Return (slice, ratio) of the best curve's glances, once all curves have had their first look."""
        axis = _axis(space[self.main])
        best = self._looked_at(axis, slices)
        return [(key, ratio) for key in best for ratio in glances(slices[key], axis, self.cases)]

    def _certain(
        self, space: Mapping[str, BaseDistribution], slices: Mapping[tuple, list[Seen]]
    ) -> list[tuple[tuple, float]]:
        """Return (slice, ratio) of what tells where the best curve's edges surely lie."""
        axis = _axis(space[self.main])
        best = self._looked_at(axis, slices)
        return [(key, ratio) for key in best for ratio in beyond_edges(slices[key], axis)]

    def _looked_at(self, axis: RatioAxis, slices: Mapping[tuple, list[Seen]]) -> list[tuple]:
        """Return the best slice, once all had their first look; none before, nor where nothing is stopped."""
        looked = all(not coarse_left([one.ratio for one in seen], axis) for seen in slices.values())
        return _worth_it(slices)[:1] if self.glances and looked else []


def stopped_before(study: Study, parameters: Mapping[str, Any]) -> FrozenTrial | None:
    """Return the trial with these parameters to go on with: stopped at an edge, else glanced at."""
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    asked = tidied(parameters)
    for kind in (stopped_at_edge, only_glanced):
        for trial in pruned:
            if kind(trial) and parameters_of(trial) == asked:
                return trial
    return None


def first_sound(study: Study, untold: int) -> int:
    """Return how many images of a trial it takes to have one of a case that the best trial draws well.

    A prompt that fails everywhere shows no window. Where no trial is whole yet, or all of its first fail, it
    is `untold`.
    """
    best = best_complete_trial(study)
    steps = sorted(best.intermediate_values.items()) if best else []
    return next((step + 1 for step, loss in steps[:LOOK] if loss < 1), untold)


def _worth_it(slices: Mapping[tuple, list[Seen]]) -> list[tuple]:
    """Return the slices that do about as well as the best, best first; all where none survives yet."""
    best = {key: window.best_seen(seen) or Seen(0.0, 0.0, loss=math.inf) for key, seen in slices.items()}
    most = max(one.survived for one in best.values())
    least = most - window.RIVAL if most >= SURVIVES else 0.0
    ranked = sorted(slices, key=lambda key: (-best[key].survived, best[key].loss))
    return [key for key in ranked if best[key].survived >= least]


def _tidy(distribution: BaseDistribution, value: Any) -> Any:
    """Round a float: 0.30000000000000004 and 0.3 are the same curve; choices are as they were written."""
    return round(value, 10) if isinstance(distribution, FloatDistribution) and value is not None else value


def _axis(distribution: BaseDistribution) -> RatioAxis:
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        what = "The window sampler needs a number to search along."
        raise BadInput(what, fix="Give it as { low, high, step }.")
    return make_axis(distribution.low, distribution.high, distribution.step)


def _as_asked(distribution: BaseDistribution, ratio: float) -> float | int:
    return round(ratio) if isinstance(distribution, IntDistribution) else ratio


def curve_values(name: str, distribution: BaseDistribution) -> list[Any]:
    """Return all values of a parameter of which there are several curves.

    Raises:
        BadInput: it has no step, so there would be no end of curves.
    """
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    stepless = isinstance(distribution, FloatDistribution) and distribution.step is None
    if stepless and not distribution.single():
        what = f"The window sampler cannot search {name} as well."
        why = "It has no step, so the number of curves would be unlimited."
        fix = 'Give it a step or a list of values, or use the sampler "tpe".'
        raise BadInput(what, where=name, why=why, fix=fix)
    return [_as_asked(distribution, value) for value in _axis(distribution).values]
