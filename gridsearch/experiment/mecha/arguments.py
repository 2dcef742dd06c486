"""The arguments of sd-mecha's merge methods: names, defaults as in sd-mecha 1.1.8, and checks."""

from collections.abc import Mapping, Sequence
from typing import Any

from gridsearch.base.errors import BadInput, nearest
from gridsearch.checkpoint.sdxl.mecha_names import TO_KEYS
from gridsearch.experiment.mecha.nodes import Searched

THEIRS_ALONE = "Merge this file with sd-mecha itself."

# Method -> the names of its inputs, None for any number, and its settings' defaults.
STOCK = {"cos_eps": 1e-6}
MEDIAN = {"eps": 1e-6, "maxiter": 100, "ftol": 1e-20}
_APPROXIMATE = {"approximate_basis_iters": 2, "approximate_basis_seed": None}  # of no effect in an exact one
_EXTENDED = {"k": 0.2, "vote_sgn": False, "apply_stock": False, "apply_median": False} | STOCK | MEDIAN
_ARGUMENTS: dict[str, tuple[tuple[str, ...] | None, dict[str, Any]]] = {
    "weighted_sum": (("a", "b"), {"alpha": 0.5}),
    "add_difference": (("a", "b"), {"alpha": 1.0}),
    "subtract": (("a", "b"), {}),
    "scale": (("a",), {"alpha": 1.0}),
    "n_average": (None, {}),
    "slerp": (("a", "b"), {"alpha": 0.5}),
    "add_cosine_a": (("a", "b"), {"alpha": 1.0}),
    "add_cosine_b": (("a", "b"), {"alpha": 1.0}),
    "train_difference_mask": (("a", "b", "c"), {"alpha": 1.0}),
    "ties_sum": (None, {"k": 1.0, "vote_sgn": False}),
    "ties_sum_extended": (None, _EXTENDED),
    # `no_rescale` is what an earlier version had for `rescale`
    "ties_sum_with_dropout": (
        None,
        {"probability": 0.9, "della_eps": 0.0, "rescale": True, "no_rescale": False, "seed": None}
        | _EXTENDED,
    ),
    "model_stock": (None, STOCK),
    "geometric_median": (None, MEDIAN),
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
    # of a fork (6DammK9's); the names are those of its author's merge log
    "isotropic": (None, {"apply_exp": None, "apply_high_dim": None}),
    "isotropic_overrided": (("a",), {"z_cof": None, "apply_exp": None, "apply_high_dim": None}),
}

# Methods that are not read, and the one that comes nearest to what they do.
_STANDS_IN = {
    "rotate": "slerp",
    "geometric_sum": "slerp",
    "multiply_quotient": "add_difference",
    "add_opposite_mask": "train_difference_mask",
    "add_strict_opposite_mask": "train_difference_mask",
    "crossover": "tensor_sum",
    "dropout": "ties_sum_with_dropout",
}


def bound(
    method: str, given: Sequence[Any], named: Mapping[str, Any], searched: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the method's inputs, and its settings with their defaults; a BadInput where they do not fit.

    `searched` are settings for which the file has a number, and an experiment searches another.
    """
    if method == "rebasin":
        what = "A recipe's rebasin is not done while merging."
        fix = (
            "Write a with `gridsearch rebasin A --to REF -o FILE`, and name that file in place of this line."
        )
        raise BadInput(what, fix=fix)
    if method not in _ARGUMENTS:
        what = f"The method {method!r:.60} of sd-mecha has no counterpart here."
        instead = _STANDS_IN.get(method) or nearest(method[:60], _ARGUMENTS)
        fix = f"Try {instead!r} in its place, or merge this file with sd-mecha itself."
        raise BadInput(what, why=f"the nearest one is {instead!r}", fix=fix)
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
    if odd := [name for name in searched if name not in defaults]:
        what = f"{method} has no number {odd[0]!r:.60} to search."
        raise BadInput(what, why=f"it has {', '.join(defaults) or 'none'}")
    settings = {name: found.get(name, default) for name, default in defaults.items()}
    settings |= {name: Searched(values) for name, values in searched.items()}
    return tuple(found[name] for name in inputs) if inputs else tuple(given), settings


def number_in(settings: Mapping[str, Any], name: str, method: str) -> Any:
    """Return a setting that is one number, or is searched."""
    value = settings[name]
    if type(value) not in (int, float, Searched):
        raise BadInput(f"{method}'s {name} must be one number.")
    return value


def flag(settings: Mapping[str, Any], name: str, method: str) -> bool:
    """Return a setting that is true or false, which may be written as 1.0 or 0.0."""
    if settings[name] not in (False, True):
        raise BadInput(f"{method}'s {name} must be true or false.")
    return bool(settings[name])


def require(method: str, settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse settings that our methods do not have."""
    for name, value in expected.items():
        here = settings[name]
        if isinstance(here, dict) or here != value:
            said = str(here).lower() if isinstance(here, bool) else f"{here!r:.60}"
            wanted = f"{name}={str(value).lower()}"
            fix = f"Write {wanted} there, or merge this file with sd-mecha itself."
            raise BadInput(f"{method} is read with {wanted} only.", why=f"here it is {said}", fix=fix)
