"""Ratios over all blocks from a few numbers: a gradient, a preset, or a pasted list of weights.

The presets are supermerger's (`gridsearch.checkpoint.ldm.presets`).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from gridsearch.base.errors import nearest
from gridsearch.checkpoint.family import DEFAULT_SELECTOR, TEXT_BLOCK
from gridsearch.checkpoint.ldm.keys import checked_selector, selectors
from gridsearch.checkpoint.ldm.presets import OTHERS, PRESETS, preset_weights
from gridsearch.experiment.family import current_family
from gridsearch.experiment.values import (
    LISTED,
    SearchableNumber,
    Share,
    Table,
    between,
    form,
    is_range,
    is_searched,
    least_and_most,
    one_of,
)

MAX_RATIO = 1e6  # a ratio beyond it says nothing new, and float32 has an end
Bounded = Annotated[SearchableNumber, between(-MAX_RATIO, MAX_RATIO)]


# -- pasted lists


def pasted_weights(text: str) -> tuple[dict[str, float], int]:
    """Return block -> weight from a list of numbers, and how many of them are of blocks that are lacking.

    20 are for SDXL's blocks and 26 for those of SD 1.5, of which SDXL has some; 19 and 25 are the same
    without BASE. A ValueError for anything else.
    """
    family = current_family()
    blocks, places = family.blocks, family.preset_places
    found = []
    for i, part in enumerate(re.split(r"[,;\s]+", text.strip(" ,;\t\n")), start=1):
        try:
            found.append(float(part))
        except ValueError:
            raise ValueError(f"the {_ordinal(i)} weight is {part!r:.40}, which is not a number") from None
        if not abs(found[-1]) <= MAX_RATIO:
            raise ValueError(f"the {_ordinal(i)} weight must be from {-MAX_RATIO:g} to {MAX_RATIO:g}")
    count, lacked = len(found), 0
    if count in (OTHERS, OTHERS + 1):
        lacked = OTHERS - len(places)
        inner = found[-OTHERS:]
        found = [*found[:-OTHERS], *(inner[place] for place in places)]
    if len(found) == len(blocks):
        return dict(zip(blocks, found, strict=True)), lacked
    if len(found) == len(blocks) - 1:
        return dict(zip(blocks[1:], found, strict=True)), lacked
    longer = f". A list of {OTHERS + 1} for SD 1.5 may be given too" if len(places) < OTHERS else ""
    known = f"{family.title} has {len(blocks)}: {', '.join(blocks)}"
    raise ValueError(f"{count} weights are given; {known}{longer}")


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


# -- the table


class Expanded(dict[str, Any]):
    """Ratios per block; `lacked` weights were given for blocks that the family does not have."""

    lacked = 0


_Preset = Annotated[str, one_of(PRESETS)]
_PresetChoices = Annotated[tuple[_Preset, ...], *LISTED]
Presets = Annotated[Annotated[_Preset, Tag("value")] | _PresetChoices, Discriminator(form)]
SHAPE_KEYS = ("start", "end", "preset", "weights", "scale")


class Shape(Table):
    """Ratios over all blocks: from `start` at IN00 and BASE to `end` at the last, or of a `preset` or pasted
    `weights`, times `scale`. Under other keys it has ratios of single blocks or parts, which go before.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Bounded] = Field(init=False)

    start: Bounded | None = None
    end: Bounded | None = None
    preset: Presets | None = None
    weights: str | None = None
    scale: Bounded | None = None

    @model_validator(mode="after")
    def _is_one_shape(self) -> Self:
        for key in self.entries():
            _require_selector(key)
            if key == DEFAULT_SELECTOR:
                raise ValueError(
                    "a default would overrule all blocks: name the part that is meant, as in vae = 0.5"
                )
        has_ends = self.start is not None or self.end is not None
        if has_ends + (self.preset is not None) + (self.weights is not None) != 1:
            raise ValueError("give either start and end, or a preset, or weights")
        if has_ends and (self.start is None or self.end is None):
            raise ValueError("a gradient has a start and an end: { start = 0.2, end = 0.8 }")
        if has_ends and self.scale is not None:
            raise ValueError("a gradient has no scale: give other ends")
        if self.weights is not None:
            blocks, _ = pasted_weights(self.weights)
            if TEXT_BLOCK not in {**blocks, **self.entries()}:
                missing = f"that of {TEXT_BLOCK}, the text encoders: add {TEXT_BLOCK} = 0.5"
                raise ValueError(f"these weights are without {missing}")
            most = max(map(abs, least_and_most(1.0 if self.scale is None else self.scale)))
            if most * max(map(abs, blocks.values())) > MAX_RATIO:
                raise ValueError(f"weights times scale must be from {-MAX_RATIO:g} to {MAX_RATIO:g}")
        return self

    def entries(self) -> dict[str, Any]:
        """Return the ratios of single blocks or parts."""
        return dict(self.__pydantic_extra__)

    def expanded(self) -> Self | Expanded:
        """Return the ratio of each block; the shape itself where one of its own numbers is searched."""
        if any(is_searched(getattr(self, key)) for key in SHAPE_KEYS):
            return self
        lacked, start, end, family = 0, self.start, self.end, current_family()
        if self.weights is not None:
            blocks, lacked = pasted_weights(self.weights)
        elif self.preset is not None:
            blocks = dict(zip(family.blocks, preset_weights(str(self.preset), family), strict=True))
        else:
            assert isinstance(start, float)
            assert isinstance(end, float)
            _, *names = family.blocks
            steps = len(names) - 1
            inner = {block: start + (end - start) * (i / steps) for i, block in enumerate(names)}
            blocks = {TEXT_BLOCK: start, **inner, names[-1]: end}
        scale: Any = 1.0 if self.scale is None else self.scale
        found = Expanded({block: round(weight * scale, 12) for block, weight in blocks.items()})
        found.lacked = lacked
        found.update(self.entries())
        return found


class ShareShape(Shape):
    """The same of ratios that must be shares."""

    __pydantic_extra__: dict[str, Share] = Field(init=False)

    start: Share | None = None
    end: Share | None = None
    scale: Share | None = None

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        if self.weights is not None:
            odd = next((w for w in pasted_weights(self.weights)[0].values() if not 0 <= w <= 1), None)
            if odd is not None:
                raise ValueError(f"every weight must be from 0 to 1, not {odd:g}")
        return self


def _require_selector(key: str) -> None:
    try:
        checked_selector(key, current_family())
    except ValueError:
        close = nearest(key, (*SHAPE_KEYS, *selectors(current_family())))
        raise ValueError(
            f"{key!r} is neither a block nor a key of a gradient; the nearest name is {close!r}"
        ) from None


def is_shape(value: object) -> bool:
    """Return whether a ratio, validated or as the file has it, is such a table or a pasted list."""
    if isinstance(value, str):
        return bool(re.search(r"[,;\s]", value.strip()))
    as_written = isinstance(value, Mapping) and not value.keys().isdisjoint(SHAPE_KEYS)
    return as_written or isinstance(value, Shape)


def in_blocks(ratio: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shape as ratios per block, as JSON has them; itself where its own numbers are searched."""
    found = Shape.model_validate(ratio).expanded()
    entries = {key: value for key, value in ratio.items() if key not in SHAPE_KEYS}
    return {**found, **entries} if isinstance(found, Expanded) else dict(ratio)


def first_values(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first value of each searched number of a shape, as JSON has it, by its key."""
    searched = {key: shape[key] for key in SHAPE_KEYS if is_searched(shape.get(key))}
    return {key: value["low"] if is_range(value) else value[0] for key, value in searched.items()}


def reach_of(ratio: Any) -> tuple[float, float]:
    """Return the least and the greatest number that a ratio can be: a plain one, of blocks, or of a shape."""
    numbers = [ratio]
    if isinstance(ratio, Mapping):
        numbers = [*ratio.values()]
    elif isinstance(ratio, Shape):
        own = (ratio.start, ratio.end, ratio.scale)
        numbers = [number for number in (*own, *ratio.entries().values()) if number is not None]
    ends = [least_and_most(number) for number in numbers] or [(0.0, 0.0)]
    return min(low for low, _ in ends), max(high for _, high in ends)
