"""The types of what a merge step is told: its models, its ratio, and the other arguments of its method."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from gridsearch.checkpoint.ldm.keys import checked_selector
from gridsearch.experiment.family import current_family
from gridsearch.experiment.gradients import MAX_RATIO, Bounded, Shape, ShareShape, is_shape
from gridsearch.experiment.values import (
    LISTED,
    SearchableNumber,
    SearchableWhole,
    Share,
    between,
    form,
    is_range,
)

# Of a model or a merge step: it becomes part of file names and of parameter names.
Name = Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=100)]


def _flat(blocks: object) -> object:
    """Flatten `IN04.attention = 0.5`, which without quotes is a table in a table to TOML.

    Under `blocks` is what holds for each of the twenty that has no entry of its own.
    """
    if isinstance(blocks, dict) and "blocks" in blocks:
        rest = {selector: value for selector, value in blocks.items() if selector != "blocks"}
        blocks = dict.fromkeys(current_family().blocks, blocks["blocks"]) | rest
    found: dict[str, object] = {}
    for selector, value in blocks.items() if isinstance(blocks, dict) else ():
        nested = value.items() if isinstance(value, dict) and not is_range(value) else [("", value)]
        found |= {f"{selector}.{inner}".rstrip("."): number for inner, number in nested}
    return found or blocks


def _pasted(value: object) -> object:
    return {"weights": value} if isinstance(value, str) else value


def _ratio_form(value: object) -> str:
    if is_shape(value):
        return "shape"
    return "blocks" if isinstance(value, dict) and not is_range(value) else "number"


_SHAPE = (BeforeValidator(_flat), BeforeValidator(_pasted), AfterValidator(Shape.expanded), Tag("shape"))


def _known_selector(selector: str) -> str:
    return checked_selector(selector, current_family())


Selector = Annotated[str, AfterValidator(_known_selector)]
Blocks = Annotated[dict[Selector, Bounded], BeforeValidator(_flat), Field(min_length=1)]
Ratio = Annotated[
    Annotated[Bounded, Tag("number")] | Annotated[Blocks, Tag("blocks")] | Annotated[Shape, *_SHAPE],
    Discriminator(_ratio_form),
]
ShareBlocks = Annotated[dict[Selector, Share], BeforeValidator(_flat), Field(min_length=1)]
ShareRatio = Annotated[  # of a method that exchanges a part: there is none beyond 0 and 1
    Annotated[Share, Tag("number")] | Annotated[ShareBlocks, Tag("blocks")] | Annotated[ShareShape, *_SHAPE],
    Discriminator(_ratio_form),
]
NotNegative = Annotated[SearchableNumber, between(0, MAX_RATIO)]
Rank = Annotated[SearchableWhole, between(1, MAX_RATIO)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Tilt = Annotated[SearchableNumber, between(-1, 1)]
Probability = Annotated[SearchableNumber, between(0, 1, open_end=True)]
Candidates = Annotated[tuple[Name, ...], *LISTED]
Input = Annotated[Annotated[Name, Tag("value")] | Candidates, Discriminator(form)]
Two = tuple[Input, Input]
Three = tuple[Input, Input, Input]
TwoOrMore = Annotated[tuple[Input, ...], Field(min_length=2)]
ThreeOrMore = Annotated[tuple[Input, ...], Field(min_length=3)]
Vote = Literal["magnitude", "count"]
Combine = Literal["mean", "median", "stock"]
Cosine = Literal["tensor", "rows"]
Ranks = Literal["rows", "tensor"]
