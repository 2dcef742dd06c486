"""Values that may be searched: a plain value is fixed, a range or a list is searched."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

import pydantic
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, model_validator
from pydantic_core import core_schema

from gridsearch.base.files import from_home

MOST_VALUES = 10_000  # in a range; each image of a trial takes a second or more


class Table(pydantic.BaseModel):
    """A table of the experiment file: frozen, and an unknown key in it is an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _absolute(path: Path, info: ValidationInfo) -> Path:
    return path if info.context is None else info.context / from_home(path)


# A path relative to the folder of the experiment's file, which is the context in which that is validated.
FilePath = Annotated[Path, AfterValidator(_absolute)]


class Range(Table):
    """Every number from `low` to `high`, on a grid of `step` where one is given."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high, step, count = self.low, self.high, self.step, self._count()
        if not low < high:
            raise ValueError(f"low = {low:g} must be less than high = {high:g}: swap them")
        if count == 1:
            raise ValueError(f"step = {step:g} is wider than the range from {low:g} to {high:g}")
        if count > MOST_VALUES:
            raise ValueError(
                f"a step of {step:g} makes {count:,} values; at most {MOST_VALUES:,} are allowed"
            )
        return self

    def _count(self) -> int:
        """Return the number of values; without a step, the two ends count."""
        if self.step is None:
            return 2
        low, high, step = (Decimal(repr(x)) for x in (self.low, self.high, self.step))
        return int((high - low) / step) + 1

    def values(self) -> tuple[float, ...]:
        """Return the values from `low` up in decimal steps (0.1 + 0.2 is 0.3); without a step, both ends."""
        if self.step is None:
            return (self.low, self.high)
        low, step = Decimal(repr(self.low)), Decimal(repr(self.step))
        return tuple(float(low + i * step) for i in range(self._count()))


class WholeRange(Range):
    """Every whole number from `low` to `high`, or every `step`-th of them."""

    low: int
    high: int
    step: int = Field(default=1, gt=0)

    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))


def one_of(words: Iterable[str]) -> pydantic.GetPydanticSchema:
    """Return an annotation of a text: it is one of these words."""
    return pydantic.GetPydanticSchema(lambda source, handler: core_schema.literal_schema(list(words)))


def is_range(value: object) -> bool:
    """Return whether a value, validated or as the file has it, is a range."""
    as_written = isinstance(value, dict) and not value.keys().isdisjoint(Range.model_fields)
    return as_written or isinstance(value, Range)


def is_searched(value: object) -> bool:
    """Return whether a value, validated or as the file has it, is a range or a list."""
    return isinstance(value, (list, tuple)) or is_range(value)


def form(value: object) -> str:
    """Return how a value is written, as a tag of the unions below: `value`, `range` or `list`."""
    if isinstance(value, (list, tuple)):
        return "list"
    return "range" if isinstance(value, (dict, Range)) else "value"


def all_different(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("a value is listed twice")
    return values


def choices_of(value: object) -> tuple:
    """Return the values of a list or a range; a plain value is the only one of its own."""
    if isinstance(value, Range):
        return value.values()
    return value if isinstance(value, tuple) else (value,)


def least_and_most(value: float | Range | tuple[float, ...]) -> tuple[float, float]:
    """Return the least and the greatest number that a fixed or searched value can be."""
    numbers = (value.low, value.high) if isinstance(value, Range) else choices_of(value)
    return min(numbers), max(numbers)


def between(low: float, high: float, open_end: bool = False) -> AfterValidator:
    """Return a check that every value of a number, fixed or searched, lies between two bounds."""

    def check(value: Any) -> Any:
        least, most = least_and_most(value)
        if least < low or most > high or (open_end and most == high):
            raise ValueError(f"must be from {low:g} to {'less than ' if open_end else ''}{high:g}")
        return value

    return AfterValidator(check)


LISTED = (Field(min_length=1), AfterValidator(all_different), Tag("list"))
SearchableNumber = Annotated[
    Annotated[float, Tag("value")] | Annotated[Range, Tag("range")] | Annotated[tuple[float, ...], *LISTED],
    Discriminator(form),
]
_One = Annotated[int, Field(strict=True)]
SearchableWhole = Annotated[
    Annotated[_One, Tag("value")]
    | Annotated[WholeRange, Tag("range")]
    | Annotated[tuple[_One, ...], *LISTED],
    Discriminator(form),
]
Share = Annotated[SearchableNumber, between(0, 1)]


def usual_value(value: Any) -> Any:
    """Return a value for the references: of a searched one, its middle or its first choice."""
    if isinstance(value, Range):
        values = value.values()
        return values[len(values) // 2] if value.step else (value.low + value.high) / 2
    return value[0] if isinstance(value, tuple) else value
