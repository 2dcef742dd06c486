"""A merge step as an experiment has it: of one method, or of any of a list, whose method is searched then.

The arguments of such a step are validated for each of the methods.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import ConfigDict, Discriminator, Tag, model_validator

from gridsearch.base.errors import nearest
from gridsearch.experiment.arguments import TwoOrMore
from gridsearch.experiment.methods import ADAPTER, METHODS, Step
from gridsearch.experiment.values import LISTED, one_of
from gridsearch.experiment.wording import in_words, place_in_words


def for_each(given: Mapping[str, Any], methods: Sequence[str]) -> dict[str, Any]:
    """Return a step's keys, validated as those of each method in turn.

    An argument may be one that only some of the methods take. A ValueError where none takes it, where one of
    them lacks an argument, or where a value or the number of models does not suit one of them; it names that.
    """
    fields = {method: METHODS[method].model_fields for method in methods}
    known = {name for own in fields.values() for name in own}
    if stray := next((key for key in given if key not in known), None):
        close = nearest(stray, sorted(known - Step.model_fields.keys()) or sorted(known))
        said = f"none of {', '.join(methods)} has an argument {stray!r:.60}"
        raise ValueError(f"{said}; the nearest known key is {close!r}")
    found: dict[str, Any] = {}
    for method in methods:
        own = {key: value for key, value in given.items() if key in fields[method]}
        try:
            step = METHODS[method].model_validate({**own, "method": method})
        except pydantic.ValidationError as error:
            raise ValueError(f"method {method!r}: {_first(error)}") from None
        found |= {key: getattr(step, key) for key in own}
    return found | {"method": tuple(methods)}


def without_strangers(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's keys as plain data without the arguments that its method does not take."""
    known = METHODS[step["method"]].model_fields
    return {key: value for key, value in step.items() if key in known}


def _first(error: pydantic.ValidationError) -> str:
    """Return the first problem, and its place in the step."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "missing":
        return f"the key {first['loc'][-1]!r} is missing"
    place = place_in_words(first["loc"])
    return f"{place}: {in_words(first)}" if place else in_words(first)


class AnyOf(Step):
    """A step whose method is searched: a list of methods, each with those of the arguments that it takes."""

    model_config = ConfigDict(extra="allow")

    method: Annotated[tuple[Annotated[str, one_of(METHODS)], ...], *LISTED]  # type: ignore[assignment]
    models: TwoOrMore

    @model_validator(mode="before")
    @classmethod
    def _suits_each(cls, data: Any) -> Any:
        """Validate the step as one of each method; of an unknown method the field's own error tells."""
        methods = data.get("method") if isinstance(data, Mapping) else None
        if not methods or any(not isinstance(one, str) or one not in METHODS for one in methods):
            return data
        if ADAPTER in methods and len(methods) > 1:
            raise ValueError(f"{ADAPTER!r} adds an adapter to a model, which no other method does")
        return for_each(data, methods)

    def __reduce__(self) -> tuple:
        return AnyOf.model_validate, (self.model_dump(),)

    def numbers(self) -> dict[str, Any]:
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}


SEVERAL = "several"  # as a tag of the union below


def _method_of(value: object) -> str:
    """Return a step's method: a weighted sum where none is named."""
    named = value.get("method", "weighted_sum") if isinstance(value, dict) else getattr(value, "method", "")
    return SEVERAL if isinstance(named, (list, tuple)) else str(named)


if TYPE_CHECKING:
    MergeStep = Step
else:
    MergeStep = Annotated[
        functools.reduce(operator.or_, (Annotated[kind, Tag(method)] for method, kind in METHODS.items()))
        | Annotated[AnyOf, Tag(SEVERAL)],
        Discriminator(_method_of),
    ]
