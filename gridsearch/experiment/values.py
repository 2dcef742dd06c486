"""Values of an experiment that may be searched: a plain value is fixed, a range or a list is searched."""

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

MOST_VALUES = 10_000  # of a range; every image of a trial takes a second or more


class Table(BaseModel):
    """A table of the file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Range(Table):
    """Every number from `low` to `high`, on a grid of `step` where one is given."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} must be less than high = {self.high:g}")
        if self.step is not None and self.count() == 1:
            raise ValueError(
                f"step = {self.step:g} is wider than the range from {self.low:g} to {self.high:g}"
            )
        if self.count() > MOST_VALUES:
            raise ValueError(
                f"a step of {self.step:g} makes {self.count():,} values; {MOST_VALUES:,} are allowed"
            )
        return self

    def count(self) -> int:
        """How many values there are; without a step, the two ends."""
        if self.step is None:
            return 2
        low, high, step = self._decimals()
        return int((high - low) / step) + 1

    def values(self) -> tuple[float, ...]:
        """The grid from `low` up in decimal steps (0.1 + 0.2 is 0.3 here); without a step, both ends."""
        if self.step is None:
            return (self.low, self.high)
        low, _, step = self._decimals()
        return tuple(float(low + i * step) for i in range(self.count()))

    def _decimals(self) -> tuple[Decimal, ...]:
        return tuple(Decimal(repr(x)) for x in (self.low, self.high, self.step))


class WholeRange(Range):
    """Every whole number from `low` to `high`, or every `step`-th of them."""

    low: int
    high: int
    step: int = Field(default=1, gt=0)

    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))


def is_range(value: object) -> bool:
    """Whether a value, validated or as the file has it, is a range."""
    return isinstance(value, Range) or (
        isinstance(value, dict) and not value.keys().isdisjoint(Range.model_fields)
    )


def is_searched(value: object) -> bool:
    """Whether a value, validated or as the file has it, is a range or a list."""
    return isinstance(value, (list, tuple)) or is_range(value)


def form(value: object) -> str:
    """How a value is written: the tag of pydantic's unions below."""
    if isinstance(value, (list, tuple)):
        return "list"
    return "range" if isinstance(value, (dict, Range)) else "value"


def all_different(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("a value is listed twice")
    return values


def choices_of(value: object) -> tuple:
    """The values of a list or of a range; of a plain value, itself."""
    if isinstance(value, Range):
        return value.values()
    return value if isinstance(value, tuple) else (value,)


def least_and_most(value: float | Range | tuple[float, ...]) -> tuple[float, float]:
    """The least and the greatest number that a searched or fixed value can be."""
    if isinstance(value, Range):
        return value.low, value.high
    numbers = value if isinstance(value, tuple) else (value,)
    return min(numbers), max(numbers)


def between(low: float, high: float, open_end: bool = False) -> AfterValidator:
    """A check that every value of a number, fixed or searched, lies between two bounds."""

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


def usual_value(value: Any) -> Any:
    """A value; where it is searched, its middle or its first choice: what references are drawn with."""
    if isinstance(value, Range):
        values = value.values()
        return values[len(values) // 2] if value.step else (value.low + value.high) / 2
    return value[0] if isinstance(value, tuple) else value
