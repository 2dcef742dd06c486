"""Trials that are alike: by their parameters the same merge or images, or by what was made of them.

Plain data only: it loads without pandas.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from gridsearch.base.words import is_number
from gridsearch.checkpoint.prediction import FLOW
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.parameters import VAE_PLACE, searched_places, settings_at, value_at
from gridsearch.render.denoise.sampling import OF_ANOTHER, OF_NEGATIVE, least_cfg

TrialPairs = list[tuple[int, int]]
ALIKE = ("nan", "black")  # verdicts of images that are the same whatever made them


def comparable(value: Any) -> Any:
    """Return a parameter's value so that equal ones compare equal; None for a missing one."""
    if value is None or value != value:  # only NaN and NaT differ from themselves
        return None
    return round(float(value), 10) if is_number(value) else value  # 0.30000000000000004 is the ratio 0.3


def made_of(settings: Mapping, parameters: Mapping) -> str | tuple:
    """Return the merge at these parameters: a model's name where nothing is mixed, else an expression.

    Two sets of parameters with equal expressions are the same merge, such as those that differ in a step
    which a later ratio of 0 leaves out.
    """
    made: dict[str, str | tuple] = {}
    made_last: str | tuple = ()
    fixed = settings_at(settings, parameters)
    for step in fixed.get("merge", ()):
        inputs = tuple(made.get(name, name) for name in step["models"])
        kept = _unmixed(step, inputs)
        rest = sorted((key, str(value)) for key, value in step.items() if key not in ("name", "models"))
        made_last = made[step["name"]] = (inputs, tuple(rest)) if kept is None else inputs[kept]
    lent = value_at(fixed, VAE_PLACE) if VAE_PLACE in searched_places(settings).values() else None
    return made_last if lent is None else (made_last, lent)


def _unmixed(step: Mapping, inputs: Sequence) -> int | None:
    """Return the input that a step passes on bit for bit (see `gridsearch.merge.engine.collapse`), if any."""
    method, ratio = step.get("method", "weighted_sum"), step.get("ratio")
    if method == "weighted_sum" and inputs[0] == inputs[1]:
        return 0  # what is mixed with itself stays, at every ratio
    return METHODS[method].alone_at.get(ratio) if is_number(ratio) else None


def drawn_with(settings: Mapping, parameters: Mapping) -> tuple[tuple[str, object], ...]:
    """Return the searched settings of the images, without those of no effect: equal ones draw alike.

    Guidance of 1 or less is none with most samplers; what is not guided is not rescaled, and has no
    unconditional prediction. Only rectified flow is shifted.
    """
    names = [name for name in searched_places(settings) if name.startswith("render.") and name in parameters]
    drawn = {name: comparable(parameters[name]) for name in names}
    render = settings_at(settings, parameters).get("render", {})
    vain = [name for name, other in OF_ANOTHER.items() if render.get(other) == 0]
    vain += ["shift"] if render.get("prediction_type") not in (None, FLOW) else []
    cfg, least = render.get("cfg"), least_cfg(render.get("sampler"))
    if is_number(cfg) and cfg <= least:
        vain += [*OF_NEGATIVE, *(name for name, other in OF_ANOTHER.items() if other in OF_NEGATIVE)]
        drawn |= {"render.cfg": least} if "render.cfg" in drawn else {}
    for name in vain:
        drawn.pop(f"render.{name}", None)
    return tuple(sorted(drawn.items()))


# -- what was made


def identical(digests: Mapping[int, Mapping[str, str]]) -> TrialPairs:
    """Return the pairs of trials all of whose common images have the same pixels, ascending.

    Two sets of parameters that make the same pictures mean that one of them was not merged or not drawn.
    The digests are: trial -> case -> fingerprint of its pixels, without images that are `ALIKE`, and of
    trials with the same parameters only one.
    """
    shared = _alike((image, trial) for trial in digests for image in digests[trial].items())
    common = {(a, b): digests[a].keys() & digests[b].keys() for a, b in shared}
    return sorted((a, b) for a, b in shared if all(digests[a][c] == digests[b][c] for c in common[a, b]))


def same_weights(weights: Mapping[int, str], merges: Mapping[int, Hashable]) -> TrialPairs:
    """Return the pairs of trials with equal fingerprints of their weights and unequal merges, ascending."""
    pairs = _alike((fingerprint, trial) for trial, fingerprint in weights.items())
    return sorted((a, b) for a, b in pairs if merges[a] != merges[b])


def _alike(marks: Iterable[tuple[Hashable, int]]) -> set[tuple[int, int]]:
    """Return the pairs of trials, the smaller one first, that share a mark."""
    trials_with = defaultdict(list)
    for mark, trial in marks:
        trials_with[mark].append(trial)
    return {pair for trials in trials_with.values() for pair in combinations(sorted(trials), 2)}
