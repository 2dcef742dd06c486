"""A merge step whose method is searched: its arguments, validated for each of the methods in its list."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pydantic

from gridsearch.base.errors import nearest

Kinds = Mapping[str, type[pydantic.BaseModel]]  # method -> the class of its steps


def for_each(
    given: Mapping[str, Any], methods: Sequence[str], kinds: Kinds, common: Collection[str]
) -> dict[str, Any]:
    """Return a step's keys, validated as those of each method in turn.

    An argument may be one that only some of the methods take. A ValueError where none takes it, where one of
    them lacks an argument, or where a value or the number of models does not suit one of them; it names that.

    Args:
        common: the keys that are no arguments, which any step has.
    """
    fields = {method: kinds[method].model_fields for method in methods}
    known = {name for own in fields.values() for name in own}
    if stray := next((key for key in given if key not in known), None):
        close = nearest(stray, sorted(known - set(common)) or sorted(known))
        said = f"none of {', '.join(methods)} has an argument {stray!r:.60}"
        raise ValueError(f"{said}; the nearest known key is {close!r}")
    found: dict[str, Any] = {}
    for method in methods:
        own = {key: value for key, value in given.items() if key in fields[method]}
        try:
            step = kinds[method].model_validate({**own, "method": method})
        except pydantic.ValidationError as error:
            raise ValueError(f"method {method!r}: {_first(error)}") from None
        found |= {key: getattr(step, key) for key in own}
    return found | {"method": tuple(methods)}


def without_strangers(step: Mapping[str, Any], kinds: Kinds, common: Collection[str]) -> dict[str, Any]:
    """Return a step's keys as plain data without the arguments that its method does not take."""
    known = {*common, *kinds[step["method"]].model_fields}
    return {key: value for key, value in step.items() if key in known}


def _first(error: pydantic.ValidationError) -> str:
    """Return the first problem, and its place in the step."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "missing":
        return f"the key {first['loc'][-1]!r} is missing"
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return f"{place.removeprefix('.')}: {said}" if place else said
