"""The translation of sd-mecha's merge methods into our steps.

sd-mecha's differences are values of their own. Here a difference is the model that it makes of another, less
that other. An error here says what is wrong with a line; the reader, which knows the line, says where.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.mecha_names import ALL_BLOCKS, LENT_PREFIXES, TO_KEYS
from gridsearch.experiment.mecha.arguments import MEDIAN, STOCK, THEIRS_ALONE, bound, flag, number_in, require
from gridsearch.experiment.mecha.nodes import (
    AnyWeights,
    Combined,
    Difference,
    Mask,
    MechaStep,
    Pairs,
    Part,
    Parts,
    Searched,
)
from gridsearch.experiment.methods import METHODS

_OURS = {kind.mecha: method for method, kind in METHODS.items()}
# Those that are linear in their inputs, or take all of them alike: of differences they make a difference.
_OF_DIFFERENCES = ("weighted_sum", "n_average", "geometric_median", "tensor_sum")
_SUMMED = ("weighted_sum", "add_difference")
_TIES = ("ties_sum", "ties_sum_extended", "ties_sum_with_dropout")
_SEED = 67_280_421_310_721  # torch's, of a generator that was given none


@dataclass(frozen=True)
class Line:
    """The line that is read.

    Attributes:
        is_old: whether its file is older than version 0.1.0.
        searched: its arguments that are searched.
    """

    where: str
    is_old: bool
    note: Callable[[str], None]
    searched: Mapping[str, Any] = field(default_factory=dict)


def call(method: str, given: Sequence[Any], named: Mapping[str, Any], line: Line) -> Any:
    """Return the result of a `merge` line: a step, or a value that a later line makes a step of."""
    inputs, settings = bound(method, given, named, line.searched)
    match method:
        case "fallback":
            return _fallback(*inputs)
        case "omit_component" | "pick_component":
            return _component(method, *inputs)
        case "add_difference":
            return _added(inputs[0], inputs[1], settings["alpha"], line.where)
        case "scale":
            of, less = _difference(inputs[0], method, line.where)
            return Difference(_step(line.where, "weighted_sum", (less, of), settings["alpha"]), less)
        case "perpendicular_component":
            return _perpendicular(*inputs)
        case _ if method in _TIES or "isotropic" in method or method in ("model_stock", "truncate_rank"):
            return _combined(method, inputs, settings, line)
        case _ if method in ("convert_singleton", TO_KEYS):  # they leave a literal as it is
            if inputs[0] is None or isinstance(inputs[0], str | int | float | dict):
                return inputs[0]
            raise BadInput(f"{method} is read for literals only.", why=f"it has {_described(inputs[0])}")
    if method in _OF_DIFFERENCES and all(isinstance(one, Difference | Combined) for one in inputs):
        return _of_differences(method, inputs, settings, line.where)
    return _of_models(method, tuple(_weights(one, method) for one in inputs), settings, line.where)


def _of_models(
    method: str, models: tuple[AnyWeights, ...], settings: Mapping[str, Any], where: str
) -> AnyWeights | Difference | Mask:
    match method:
        case "subtract":
            return Difference(*models)
        case "train_difference_mask":
            return Mask(models, _ratio(settings["alpha"], method))
        case "n_average":
            return _average(models, where)
        case "geometric_median":
            require(method, settings, MEDIAN)
            return MechaStep(where, method, models, {})
        case "clamp":
            return MechaStep(where, method, models, {"stiffness": number_in(settings, "stiffness", method)})
        case "tensor_sum" | "top_k_tensor_sum":
            if method == "top_k_tensor_sum":
                require(method, settings, {"offset": 0.0})
            offset = number_in(settings, "offset", method)
            ratio = _ratio(settings["width"], method, "width")
            return MechaStep(where, method, models, {"ratio": ratio, "offset": offset})
    return _step(where, _OURS[method], models, settings["alpha"])


def _weights(value: Any, method: str) -> AnyWeights:
    """Return a value that is a model, or a step that has all weights."""
    if isinstance(value, MechaStep) and value.absent:
        raise left_out(value)
    if not isinstance(value, AnyWeights):
        why = f"it is {_described(value)}"
        raise BadInput(f"An input of {method} is neither a model nor a merge of models.", why=why)
    return value


def _described(value: Any) -> str:
    words = {
        Path: "a model",
        MechaStep: "a merge of models",
        Pairs: "a dict: make a literal of it",
        Difference: "a difference",
        Combined: "a combination of differences",
        Mask: "a mask",
        Part: "a component",
        Parts: "a merge whose components were exchanged, which is read on the last lines only",
        dict: "a table of ratios",
    }
    return next((word for kind, word in words.items() if isinstance(value, kind)), f"{value!r:.60}")


def left_out(step: MechaStep) -> BadInput:
    blocks = sorted(step.absent)
    what = f"The ratios of {step.method} leave {len(blocks)} blocks out, {blocks[0]} first."
    fix = 'Add merge "fallback" &RATIOS 0.5, say, or for the weights merge "fallback" &RESULT &MODEL.'
    return BadInput(what, where=step.where, why="sd-mecha would write a file without them", fix=fix)


def _ratio(value: Any, method: str, name: str = "alpha") -> Any:
    if isinstance(value, dict | Searched) or type(value) in (int, float):
        return value
    raise BadInput(f"{method}'s {name} is neither a number nor a table.", why=f"it is {_described(value)}")


# -- steps


def _step(where: str, method: str, inputs: tuple[AnyWeights, ...], ratio: Any) -> MechaStep:
    return MechaStep(where, method, inputs, {"ratio": _ratio(ratio, method)})


def _average(models: tuple[AnyWeights, ...], where: str) -> AnyWeights:
    counts = Counter(models)
    if len(counts) == 1:
        return models[0]
    weights = {} if len(counts) == len(models) else {"weights": tuple(map(float, counts.values()))}
    return MechaStep(where, "average", tuple(counts), weights)


def _added(first: Any, delta: Any, alpha: Any, where: str) -> MechaStep | Difference:
    """Return `first + alpha * delta`: a step, or where the first is a difference, another."""
    if isinstance(alpha, Mask):
        if not isinstance(delta, Difference) or alpha.inputs != (first, delta.of, delta.less):
            what = "A train_difference_mask must be of the three models that add_difference is of."
            raise BadInput(what, why="a + mask(a, b, c) * (b - c) is what it is for")
        return MechaStep(where, "train_difference", alpha.inputs, {"ratio": alpha.ratio})
    if isinstance(first, Difference | Combined):
        of, less = _difference(first, "add_difference", where)
        return Difference(_step(where, "add_difference", (of, *_difference(delta, "", where)), alpha), less)
    base = _weights(first, "add_difference")
    if not isinstance(delta, Difference | Combined):
        raise BadInput("add_difference adds no difference.", why=f"it is {_described(delta)}")
    if isinstance(delta, Combined) and delta.base is base:
        ratio = {"ratio": _ratio(alpha, "add_difference")}
        return MechaStep(where, delta.method, (base, *delta.others), {**delta.numbers, **ratio})
    return _step(where, "add_difference", (base, *_difference(delta, "", where)), alpha)


# -- differences


def _difference(value: Any, method: str, where: str) -> Difference:
    """Return a difference as two models, or merges, of which it is one less the other."""
    if isinstance(value, Combined):
        numbers = {**value.numbers, "ratio": 1.0}
        return Difference(MechaStep(where, value.method, (value.base, *value.others), numbers), value.base)
    if not isinstance(value, Difference):
        why = f"one is {_described(value)}"
        raise BadInput(f"The inputs of {method} must be differences: subtract them first.", why=why)
    return value


def _from_one(inputs: Sequence[Any], method: str, where: str) -> tuple[AnyWeights, tuple[AnyWeights, ...]]:
    """Return the model that differences are from, and what they make of it; the first one's, if several."""
    base, others = None, []
    for of, less in (_difference(one, method, where) for one in inputs):
        base = less if base is None else base
        others.append(_moved(base, of, less, where))
    assert base is not None  # every method has an input
    return base, tuple(others)


def _moved(base: AnyWeights, of: AnyWeights, less: AnyWeights, where: str) -> AnyWeights:
    """Return `base + of - less`, summed so that where the two are equal it is the base to the last bit."""
    if less is base or of is less:
        return of if less is base else base
    if of is base:
        return _step(where, "add_difference", (base, of, less), 1.0)
    return MechaStep(where, "average", (of, less, base), {"weights": (1.0, -1.0, 1.0), "normalize": False})


def _of_differences(
    method: str, inputs: Sequence[Any], settings: Mapping[str, Any], where: str
) -> Difference:
    base, others = _from_one(inputs, method, where)
    made = _of_models(method, others, settings, where)
    assert isinstance(made, AnyWeights)
    return Difference(made, base)


def _combined(method: str, inputs: Sequence[Any], settings: Mapping[str, Any], line: Line) -> Combined:
    """Return the sum of differences that an add_difference takes."""
    base, others = _from_one(inputs, method, line.where)
    match method:
        case "model_stock":
            require(method, settings, STOCK)
            return Combined(method, {"cosine": "rows"}, base, others)
        case "truncate_rank":
            require(method, settings, {"use_approximate_basis": False})
            return Combined("low_rank", {"rank": number_in(settings, "rank", method)}, base, others)
        case _ if method in _TIES:
            if any(isinstance(one, MechaStep) and one.method in _SUMMED for one in others):
                line.note(
                    f"{line.where}: {method} elects among differences that are sums themselves. Where models "
                    "are equal, what rounding leaves of such a sum may count as a change."
                )
            return Combined(*_ties(method, settings, line), base, others)
    said = ", ".join(f"{name} = {value}" for name, value in settings.items() if value is not None)
    line.note(
        f"{line.where}: {method} is a fork's. It is merged as Iso-C (Marczak et al. 2025), every singular "
        "value of the difference replaced by their mean"
        + (f"; what {said.lower()} would change is not published." if said else ".")
    )
    return Combined("isotropic", {}, base, others)


def _ties(method: str, settings: Mapping[str, Any], line: Line) -> tuple[str, dict[str, Any]]:
    """Return our method and its numbers.

    In 1.1.8 two flags are read the wrong way round: true for `vote_sgn` votes by sums, and for `apply_stock`
    leaves the stock out. Before version 0.1.0 they did what they say.
    """
    by_sums = flag(settings, "vote_sgn", method) != line.is_old
    numbers: dict[str, Any] = {
        "k": number_in(settings, "k", method),
        "vote": "magnitude" if by_sums else "count",
    }
    if method != "ties_sum":
        stock = flag(settings, "apply_stock", method) == line.is_old
        if flag(settings, "apply_median", method):
            require(method, settings, MEDIAN)
            numbers["combine"] = "median"
        elif stock:
            require(method, settings, STOCK)
            numbers["combine"] = "stock"
    if line.is_old:
        line.note(
            f"{line.where}: vote_sgn and apply_stock mean what they meant before version 0.1.0; in sd-mecha "
            "1.1.8 they mean the opposite."
        )
    ours = "ties"
    if method == "ties_sum_with_dropout":
        ours, seed = "dare_ties", settings["seed"]
        numbers["probability"] = number_in(settings, "probability", method)
        unseeded = seed is None or (type(seed) is int and seed < 0)
        numbers["seed"] = _SEED if unseeded else number_in(settings, "seed", method)
        numbers["rescale"] = flag(settings, "rescale", method) and not flag(settings, "no_rescale", method)
        if settings["della_eps"] != 0:
            ours, numbers["ranks"] = "della", "tensor"
            numbers["della_eps"] = number_in(settings, "della_eps", method)
    return ours, numbers


def _perpendicular(first: Any, second: Any) -> Combined:
    """Return what of the second difference is at right angles to the first."""
    if not (isinstance(first, Difference) and isinstance(second, Difference) and first.less is second.less):
        what = "The inputs of perpendicular_component must be differences from one model: subtract it first."
        raise BadInput(what, fix=THEIRS_ALONE)
    return Combined("add_perpendicular", {}, first.of, (second.of, first.less))


# -- missing components, and the models that lend them


def _fallback(value: Any, default: Any) -> Any:
    """Return a value with `default` where it has nothing."""
    if isinstance(value, dict) and type(default) in (int, float, dict):
        filling = default if isinstance(default, dict) else dict.fromkeys(ALL_BLOCKS, default)
        return filling | value
    if isinstance(value, Part):
        base = default if isinstance(default, Parts) else Parts(_weights(default, "fallback"))
        return Parts(base.weights, {**base.lent, value.component: value.model})
    if isinstance(value, Parts) and None in value.lent.values() and isinstance(default, Path):
        return Parts(value.weights, {part: model or default for part, model in value.lent.items()})
    if (
        isinstance(value, MechaStep)
        and value.absent
        and default is value.inputs[0]
        and METHODS[value.method].alone_at.get(0) == 0
    ):
        table = dict.fromkeys(ALL_BLOCKS, 0.0) | value.numbers["ratio"]
        return replace(value, numbers={**value.numbers, "ratio": table})
    weights = value.weights if isinstance(value, Parts) else _weights(value, "fallback")
    own = (*weights.inputs, *weights.models) if isinstance(weights, MechaStep) else ()
    if default is weights or default in own:
        return value  # no weight of a merge is missing from its models
    why = "the second is none of the models that the first is made of"
    fix = "Leave the fallback out, or merge this file with sd-mecha itself."
    raise BadInput("A fallback is read only where it cannot change a weight.", why=why, fix=fix)


def _component(method: str, value: Any, component: Any) -> Part | Parts:
    """Return a component of a model alone, or weights without it."""
    if not isinstance(component, str) or component not in LENT_PREFIXES:
        *names, last = LENT_PREFIXES
        known = f"{', '.join(names)} and {last}"
        raise BadInput(f"{method} is read for {known} only.", why=f"here: {component!r:.60}")
    if method == "pick_component":
        if not isinstance(value, Path):
            raise BadInput("A component is picked from a model only.")
        return Part(value, component)
    base = value if isinstance(value, Parts) else Parts(_weights(value, method))
    return Parts(base.weights, {**base.lent, component: None})
