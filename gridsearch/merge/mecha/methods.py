"""The translation of sd-mecha's merge methods into our steps.

An error here says what is wrong with a line; the reader, which knows the line, says where.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput, nearest
from gridsearch.checkpoint.sdxl.keys import ALL_BLOCKS, LENT_PREFIXES, TO_KEYS
from gridsearch.experiment.methods import METHODS
from gridsearch.merge.mecha.nodes import AnyWeights, Combined, Difference, Mask, MechaStep, Pairs, Part, Parts

_OURS = {kind.mecha: method for method, kind in METHODS.items()}
_THEIRS_ALONE = "Merge this file with sd-mecha itself."

# Method -> the names of its inputs, None for any number, and its settings' defaults, as in sd-mecha 1.1.8.
_STOCK = {"cos_eps": 1e-6}
_APPROXIMATE = {"approximate_basis_iters": 2, "approximate_basis_seed": None}  # of no effect in an exact one
_MEDIAN = {"eps": 1e-6, "maxiter": 100, "ftol": 1e-20}
_ARGUMENTS: dict[str, tuple[tuple[str, ...] | None, dict[str, Any]]] = {
    "weighted_sum": (("a", "b"), {"alpha": 0.5}),
    "add_difference": (("a", "b"), {"alpha": 1.0}),
    "subtract": (("a", "b"), {}),
    "n_average": (None, {}),
    "slerp": (("a", "b"), {"alpha": 0.5}),
    "add_cosine_a": (("a", "b"), {"alpha": 1.0}),
    "add_cosine_b": (("a", "b"), {"alpha": 1.0}),
    "train_difference_mask": (("a", "b", "c"), {"alpha": 1.0}),
    "ties_sum": (None, {"k": 1.0, "vote_sgn": False}),
    "ties_sum_with_dropout": (
        None,
        {"probability": 0.9, "della_eps": 0.0, "rescale": True, "k": 0.2, "vote_sgn": False, "seed": None}
        | {"apply_stock": False, "apply_median": False}
        | _STOCK
        | _MEDIAN,
    ),
    "model_stock": (None, _STOCK),
    "geometric_median": (None, _MEDIAN),
    "perpendicular_component": (("a", "b"), {}),
    "truncate_rank": (("a",), {"rank": 8, "use_approximate_basis": True} | _APPROXIMATE),
    "tensor_sum": (("a", "b"), {"width": 0.5, "offset": 0.0}),
    "top_k_tensor_sum": (("a", "b"), {"width": 1.0, "offset": 0.0}),
    "clamp": (None, {"stiffness": 0.0}),
    "fallback": (("a", "default"), {}),
    "omit_component": (("a", "component"), {}),
    "pick_component": (("a", "component"), {}),
    "convert_singleton": (("singleton",), {}),
    TO_KEYS: (("blocks",), {}),
}

# Method of differences -> ours, the settings that ours does not have, and those that are its numbers.
_COMBINED: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "model_stock": ("model_stock", _STOCK, ()),
    "ties_sum": ("ties", {}, ("k",)),
    "ties_sum_with_dropout": (
        "dare_ties",
        # In 1.1.8 the flag is read the wrong way round: true is plain TIES.
        {"rescale": True, "apply_stock": True, "apply_median": False},
        ("k", "probability", "seed"),
    ),
    "truncate_rank": ("low_rank", {"use_approximate_basis": False}, ("rank",)),
}


def call(method: str, given: Sequence[Any], named: Mapping[str, Any], where: str) -> Any:
    """Return the result of a `merge` line: a step, or a value that a later line makes a step of."""
    if method not in _ARGUMENTS:
        what = f"The method {method!r:.60} of sd-mecha has no counterpart here."
        why = f"the nearest one is {nearest(method[:60], _ARGUMENTS)!r}"
        raise BadInput(what, why=why, fix=_THEIRS_ALONE)
    inputs, settings = _bound(method, given, named)
    match method:
        case "fallback":
            return _fallback(*inputs)
        case "omit_component" | "pick_component":
            return _component(method, *inputs)
        case "add_difference":
            return _added(_weights(inputs[0], method), inputs[1], settings["alpha"], where)
        case "ties_sum" | "ties_sum_with_dropout" | "model_stock" | "truncate_rank":
            return _combined(method, inputs, settings)
        case "perpendicular_component":
            return _perpendicular(*inputs)
        case _ if method in ("convert_singleton", TO_KEYS):  # they leave a literal as it is
            if inputs[0] is None or isinstance(inputs[0], str | int | float | dict):
                return inputs[0]
            raise BadInput(f"{method} is read for literals only.", why=f"it has {_described(inputs[0])}")
    models = tuple(_weights(one, method) for one in inputs)
    match method:
        case "subtract":
            return Difference(*models)
        case "train_difference_mask":
            return Mask(models, _ratio(settings["alpha"], method))
        case "n_average":
            return _average(models, where)
        case "geometric_median":
            _require(method, settings, _MEDIAN)
            return MechaStep(where, method, models, {})
        case "clamp":
            return MechaStep(where, method, models, {"stiffness": _number(settings, "stiffness", method)})
        case "tensor_sum" | "top_k_tensor_sum":
            if method == "top_k_tensor_sum":
                _require(method, settings, {"offset": 0.0})
            offset = _number(settings, "offset", method)
            ratio = _ratio(settings["width"], method, "width")
            return MechaStep(where, method, models, {"ratio": ratio, "offset": offset})
    return MechaStep(where, _OURS[method], models, {"ratio": _ratio(settings["alpha"], method)})


# -- arguments


def _bound(
    method: str, given: Sequence[Any], named: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the method's inputs, and its settings with their defaults."""
    inputs, defaults = _ARGUMENTS[method]
    names = (*(inputs or ()), *defaults)
    found = dict(zip(names, given, strict=False)) if inputs else {}
    if inputs and len(given) > len(names):
        raise BadInput(f"{method} has {len(names)} arguments, not {len(given)}.")
    if wrong := [name for name in named if name not in names or name in found]:
        twice = wrong[0] in found
        raise BadInput(
            f"{method} {'has its argument' if twice else 'has no argument'} {wrong[0]!r:.60}"
            f"{' twice' if twice else ''}.",
            why=f"it has {', '.join(names) or 'inputs only'}",
        )
    found |= named
    if absent := [name for name in inputs or () if name not in found]:
        raise BadInput(f"{method} lacks its argument {absent[0]!r}.")
    if not inputs and not given:
        raise BadInput(f"{method} has no inputs.")
    settings = {name: found.get(name, default) for name, default in defaults.items()}
    return tuple(found[name] for name in inputs) if inputs else tuple(given), settings


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


def _ratio(value: Any, method: str, name: str = "alpha") -> float | dict[str, float]:
    if isinstance(value, dict) or type(value) in (int, float):
        return value
    raise BadInput(f"{method}'s {name} is neither a number nor a table.", why=f"it is {_described(value)}")


def _number(settings: Mapping[str, Any], name: str, method: str) -> float:
    value: Any = settings[name]
    if type(value) not in (int, float):
        raise BadInput(f"{method}'s {name} must be one number.")
    return value


def _require(method: str, settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse settings that our methods do not have."""
    for name, value in expected.items():
        here = settings[name]
        if isinstance(here, dict) or here != value:
            said = str(here).lower() if isinstance(here, bool) else _described(here)
            what = f"{method} is read with {name}={str(value).lower()} only."
            raise BadInput(what, why=f"here it is {said}", fix=_THEIRS_ALONE)


# -- steps


def _average(models: tuple[AnyWeights, ...], where: str) -> AnyWeights:
    counts = Counter(models)
    if len(counts) == 1:
        return models[0]
    weights = {} if len(counts) == len(models) else {"weights": tuple(map(float, counts.values()))}
    return MechaStep(where, "average", tuple(counts), weights)


def _combined(method: str, inputs: Sequence[Any], settings: Mapping[str, Any]) -> Combined:
    """Return the sum of differences that an add_difference takes."""
    if not all(isinstance(one, Difference) for one in inputs):
        raise BadInput(f"The inputs of {method} must be differences: subtract them first.")
    base = inputs[0].less
    if any(one.less is not base for one in inputs):
        raise BadInput(f"The differences in {method} are not from one model.", fix=_THEIRS_ALONE)
    ours, required, names = _COMBINED[method]
    _require(method, settings, required)
    if "seed" in names and (type(settings["seed"]) is not int or settings["seed"] < 0):
        raise BadInput(f"{method} has no seed, so each merge would differ.", fix="Add seed=0.")
    if settings.get("della_eps", 0) != 0:
        ours, names = "della", (*names, "della_eps")
    numbers: dict[str, Any] = {name: _number(settings, name, method) for name in names}
    numbers |= {"model_stock": {"cosine": "rows"}, "della": {"ranks": "tensor"}}.get(ours, {})
    if "vote_sgn" in settings:
        if settings["vote_sgn"] not in (False, True):
            raise BadInput(f"{method}'s vote_sgn must be true or false.")
        # the flag's name says the opposite of what it does
        numbers["vote"] = "magnitude" if settings["vote_sgn"] else "count"
    return Combined(ours, base, tuple(one.of for one in inputs), numbers)


def _perpendicular(first: Any, second: Any) -> Combined:
    """Return what of the second difference is at right angles to the first."""
    if not (isinstance(first, Difference) and isinstance(second, Difference) and first.less is second.less):
        what = "The inputs of perpendicular_component must be differences from one model: subtract it first."
        raise BadInput(what, fix=_THEIRS_ALONE)
    return Combined("add_perpendicular", first.of, (second.of, first.less), {})


def _added(first: AnyWeights, delta: Any, alpha: Any, where: str) -> MechaStep:
    """Return the step `first + alpha * delta`."""
    if isinstance(alpha, Mask):
        if not isinstance(delta, Difference) or alpha.inputs != (first, delta.of, delta.less):
            what = "A train_difference_mask must be of the three models that add_difference is of."
            raise BadInput(what, why="a + mask(a, b, c) * (b - c) is what it is for")
        return MechaStep(where, "train_difference", alpha.inputs, {"ratio": alpha.ratio})
    ratio = {"ratio": _ratio(alpha, "add_difference")}
    if isinstance(delta, Difference):
        return MechaStep(where, "add_difference", (first, delta.of, delta.less), ratio)
    if not isinstance(delta, Combined):
        raise BadInput("add_difference adds no difference.", why=f"it is {_described(delta)}")
    if delta.base is first:
        return MechaStep(where, delta.method, (first, *delta.others), {**delta.numbers, **ratio})
    whole = MechaStep(where, delta.method, (delta.base, *delta.others), {**delta.numbers, "ratio": 1.0})
    return MechaStep(where, "add_difference", (first, whole, delta.base), ratio)


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
