"""The arguments of sd-mecha's merge methods, with the names and defaults of sd-mecha 1.1.8."""

from collections.abc import Mapping, Sequence
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.mecha_names import TO_KEYS

STOCK = {"cos_eps": 1e-6}
MEDIAN = {"eps": 1e-6, "maxiter": 100, "ftol": 1e-20}

# Method -> the names of its inputs, None for any number of them, and its settings' defaults.
MECHA_METHODS: dict[str, tuple[tuple[str, ...] | None, dict[str, Any]]] = {
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
        | STOCK
        | MEDIAN,
    ),
    "model_stock": (None, STOCK),
    "geometric_median": (None, MEDIAN),
    "fallback": (("a", "default"), {}),
    "omit_component": (("a", "component"), {}),
    "pick_component": (("a", "component"), {}),
    "convert_singleton": (("singleton",), {}),
    TO_KEYS: (("blocks",), {}),
}


def bound(
    method: str, given: Sequence[Any], named: Mapping[str, Any], where: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the method's inputs, and its settings with their defaults."""
    inputs, defaults = MECHA_METHODS[method]
    if inputs is None:
        found, names = {}, tuple(defaults)
    else:
        names = (*inputs, *defaults)
        found = dict(zip(names, given, strict=False))
        if len(given) > len(names):
            raise BadInput(f"{method} has {len(names)} arguments, not {len(given)}.", where=where)
    if wrong := [name for name in named if name not in names or name in found]:
        twice = wrong[0] in found
        raise BadInput(
            f"{method} {'has its argument' if twice else 'has no argument'} {wrong[0]!r:.60}"
            f"{' twice' if twice else ''}.",
            where=where,
            why=f"it has {', '.join(names) or 'inputs only'}",
        )
    found |= named
    if absent := [name for name in inputs or () if name not in found]:
        raise BadInput(f"{method} lacks its argument {absent[0]!r}.", where=where)
    if inputs is None and not given:
        raise BadInput(f"{method} has no inputs.", where=where)
    settings = {name: found.get(name, default) for name, default in defaults.items()}
    return tuple(found[name] for name in inputs) if inputs is not None else tuple(given), settings
