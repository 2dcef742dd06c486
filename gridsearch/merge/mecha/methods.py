"""The translation of sd-mecha's merge methods into our steps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gridsearch.base.errors import BadInput, nearest
from gridsearch.checkpoint.sdxl.mecha_names import ALL_BLOCKS, LENT_PREFIXES, TO_KEYS
from gridsearch.experiment.methods import METHODS
from gridsearch.merge.mecha.arguments import MECHA_METHODS, MEDIAN, STOCK, bound
from gridsearch.merge.mecha.nodes import (
    Combined,
    Difference,
    Mask,
    MechaModel,
    MechaStep,
    ModelOrStep,
    Pairs,
    Part,
    Parts,
    RatioOrTable,
    new_step,
    with_all_blocks,
)

_OURS = {kind.mecha: method for method, kind in METHODS.items()}
_CONVERSIONS = ("convert_singleton", TO_KEYS)


def call(method: str, given: Sequence[Any], named: Mapping[str, Any], where: str) -> Any:
    """Return the result of a `merge` line: a step, or a value that a later line makes a step of.

    Raises:
        BadInput: the method has no counterpart, or its arguments have none.
    """
    if method not in MECHA_METHODS:
        raise BadInput(
            f"The method {method!r:.60} of sd-mecha has no counterpart here.",
            where=where,
            why=f"the nearest one is {nearest(method[:60], MECHA_METHODS)!r}",
            fix="Merge this file with sd-mecha itself.",
        )
    inputs, settings = bound(method, given, named, where)
    match method:
        case "fallback":
            return _fallback(inputs[0], inputs[1], where)
        case "omit_component" | "pick_component":
            return _component(method, inputs[0], inputs[1], where)
        case "add_difference":
            return _added(_weights(inputs[0], method, where), inputs[1], settings["alpha"], where)
        case "ties_sum" | "ties_sum_with_dropout" | "model_stock":
            return _combined(method, inputs, settings, where)
    if method in _CONVERSIONS:
        return _plain(method, inputs[0], where)
    models = tuple(_weights(one, method, where) for one in inputs)
    match method:
        case "subtract":
            return Difference(*models)
        case "train_difference_mask":
            return Mask(models, _ratio(settings["alpha"], method, where))
        case "n_average":
            return _average(models, where)
        case "geometric_median":
            _require(method, settings, MEDIAN, where)
            return new_step(where, method, models)
    return new_step(where, _OURS[method], models, _ratio(settings["alpha"], method, where))


# -- arguments


def _weights(value: Any, method: str, where: str) -> ModelOrStep:
    """Return a value that is a model, or a step that has all weights."""
    if isinstance(value, MechaStep) and value.absent:
        raise left_out(value, where)
    if not isinstance(value, MechaModel | MechaStep):
        raise BadInput(
            f"An input of {method} is neither a model nor a merge of models.",
            where=where,
            why=f"it is {_described(value)}",
        )
    return value


def _described(value: Any) -> str:
    words = {
        MechaModel: "a model",
        MechaStep: "a merge of models",
        Pairs: "a dict: make a literal of it",
        Difference: "a difference",
        Combined: "a combination of differences",
        Mask: "a mask",
        Part: "a component",
        Parts: "a merge whose components were exchanged, which is read on the last lines only",
        dict: "a table of ratios",
    }
    return words.get(type(value), f"{value!r:.60}")


def left_out(step: MechaStep, where: str) -> BadInput:
    blocks = sorted(step.absent)
    return BadInput(
        f"The ratios of {step.method} leave {len(blocks)} blocks out, {blocks[0]} first.",
        where=where if where == step.where else f"{where}, of {step.where}",
        why="sd-mecha would write a file without them",
        fix='Add merge "fallback" &RATIOS 0.5, say, or for the weights merge "fallback" &RESULT &MODEL.',
    )


def _ratio(value: Any, method: str, where: str) -> RatioOrTable:
    if isinstance(value, dict) or type(value) in (int, float):
        return value
    raise BadInput(
        f"{method}'s alpha is neither a number nor a table.", where=where, why=f"it is {_described(value)}"
    )


def _plain(method: str, value: Any, where: str) -> Any:
    """Return a literal, which its conversion leaves as it is."""
    if value is None or isinstance(value, str | int | float | dict):
        return value
    raise BadInput(f"{method} is read for literals only.", where=where, why=f"it has {_described(value)}")


def _spelt(value: Any) -> str:
    """Return a setting as the file has it."""
    return str(value).lower() if isinstance(value, bool) else _described(value)


def _require(method: str, settings: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Refuse settings that our methods do not have."""
    for name, value in expected.items():
        if isinstance(settings[name], dict) or settings[name] != value:
            raise BadInput(
                f"{method} is read with {name}={_spelt(value)} only.",
                where=where,
                why=f"here it is {_spelt(settings[name])}",
                fix="Merge this file with sd-mecha itself.",
            )


# -- steps


def _average(models: tuple[ModelOrStep, ...], where: str) -> ModelOrStep:
    counts = Counter(models)
    if len(counts) == 1:
        return models[0]
    weights = None if len(counts) == len(models) else tuple(map(float, counts.values()))
    return new_step(where, "average", tuple(counts), weights=weights)


def _combined(method: str, inputs: Sequence[Any], settings: dict[str, Any], where: str) -> Combined:
    """Return the sum of differences that an add_difference takes."""
    if not all(isinstance(one, Difference) for one in inputs):
        raise BadInput(f"The inputs of {method} must be differences: subtract them first.", where=where)
    base = inputs[0].less
    if any(one.less is not base for one in inputs):
        raise BadInput(
            f"The differences in {method} are not from one model.",
            where=where,
            fix="Merge this file with sd-mecha itself.",
        )
    ours, numbers = method, {}
    match method:
        case "model_stock":
            _require(method, settings, STOCK, where)
        case "ties_sum":
            _require(method, settings, {"vote_sgn": False}, where)
            ours, numbers = "ties", {"k": settings["k"]}
        case "ties_sum_with_dropout":
            # In 1.1.8 the flag is read the wrong way round: true is plain TIES.
            plain = {"vote_sgn": False, "rescale": True, "apply_stock": True, "apply_median": False}
            _require(method, settings, plain, where)
            if type(settings["seed"]) is not int or settings["seed"] < 0:
                raise BadInput(
                    f"{method} has no seed, so each merge would differ.", where=where, fix="Add seed=0."
                )
            numbers = {name: settings[name] for name in ("k", "probability", "seed")}
            ours = "dare_ties" if settings["della_eps"] == 0 else "della"
            if ours == "della":
                numbers["della_eps"] = settings["della_eps"]
    if wrong := [name for name, value in numbers.items() if type(value) not in (int, float)]:
        raise BadInput(f"{method}'s {wrong[0]} must be one number.", where=where)
    return Combined(ours, base, tuple(one.of for one in inputs), numbers)


def _added(first: ModelOrStep, delta: Any, alpha: Any, where: str) -> MechaStep:
    """Return the step `first + alpha * delta`."""
    if isinstance(alpha, Mask):
        if not isinstance(delta, Difference) or alpha.inputs != (first, delta.of, delta.less):
            raise BadInput(
                "A train_difference_mask must be of the three models that add_difference is of.",
                where=where,
                why="a + mask(a, b, c) * (b - c) is what it is for",
            )
        return new_step(where, "train_difference", alpha.inputs, alpha.ratio)
    alpha = _ratio(alpha, "add_difference", where)
    if isinstance(delta, Difference):
        return new_step(where, "add_difference", (first, delta.of, delta.less), alpha)
    if not isinstance(delta, Combined):
        raise BadInput("add_difference adds no difference.", where=where, why=f"it is {_described(delta)}")
    if delta.base is first:
        return new_step(where, delta.method, (first, *delta.others), alpha, **delta.numbers)
    whole = new_step(where, delta.method, (delta.base, *delta.others), 1.0, **delta.numbers)
    return new_step(where, "add_difference", (first, whole, delta.base), alpha)


# -- missing components, and the models that lend them


def _fallback(value: Any, default: Any, where: str) -> Any:
    """Return a value with `default` where it has nothing."""
    if isinstance(value, dict) and type(default) in (int, float, dict):
        filling = default if isinstance(default, dict) else dict.fromkeys(ALL_BLOCKS, default)
        return filling | value
    if isinstance(value, Part):
        base = default if isinstance(default, Parts) else Parts(_weights(default, "fallback", where))
        return Parts(base.weights, {**base.lent, value.component: value.model})
    if isinstance(value, Parts) and None in value.lent.values() and isinstance(default, MechaModel):
        return Parts(value.weights, {part: model or default for part, model in value.lent.items()})
    if (
        isinstance(value, MechaStep)
        and value.absent
        and default is value.inputs[0]
        and METHODS[value.method].alone_at.get(0) == 0
    ):
        return with_all_blocks(value, 0.0)
    weights = value.weights if isinstance(value, Parts) else _weights(value, "fallback", where)
    own = (*weights.inputs, *weights.models) if isinstance(weights, MechaStep) else ()
    if default is weights or default in own:
        return value  # no weight of a merge is missing from its models
    raise BadInput(
        "A fallback is read only where it cannot change a weight.",
        where=where,
        why="the second is none of the models that the first is made of",
        fix="Leave the fallback out, or merge this file with sd-mecha itself.",
    )


def _component(method: str, value: Any, component: Any, where: str) -> Part | Parts:
    """Return a component of a model alone, or weights without it."""
    if component not in LENT_PREFIXES:
        *names, last = LENT_PREFIXES
        known = f"{', '.join(names)} and {last}"
        raise BadInput(f"{method} is read for {known} only.", where=where, why=f"here: {component!r:.60}")
    if method == "pick_component":
        if not isinstance(value, MechaModel):
            raise BadInput("A component is picked from a model only.", where=where)
        return Part(value, component)
    base = value if isinstance(value, Parts) else Parts(_weights(value, method, where))
    return Parts(base.weights, {**base.lent, component: None})
