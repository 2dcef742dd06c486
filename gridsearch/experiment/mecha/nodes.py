"""The values that the instructions of sd-mecha's recipes produce. A model is the path of its file.

Steps are compared by identity, so that a recipe of any shape is cheap to hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.mecha_names import ALL_BLOCKS
from gridsearch.experiment.methods import LINEAR

# A step that is used twice is evaluated twice, so a few lines can ask for any number of evaluations.
MOST_EVALUATIONS = 200
MOST_NESTED = 50


@dataclass(eq=False)
class MechaStep:
    """A merge step: its method and numbers as `gridsearch.experiment.methods` has them.

    Attributes:
        where: its line in the file.
        models: all that it is made of.
        inner: the non-linear steps whose results it takes.
        evaluations: of non-linear steps, for one weight of it.
        nested: how many of them stand in one another.

    Raises:
        BadInput: evaluating it would take forever.
    """

    where: str
    method: str
    inputs: tuple["AnyWeights", ...]
    numbers: Mapping[str, Any]
    models: frozenset[Path] = field(init=False)
    inner: frozenset["MechaStep"] = field(init=False)
    evaluations: int = field(init=False)
    nested: int = field(init=False)

    def __post_init__(self) -> None:
        before = [one for one in self.inputs if isinstance(one, MechaStep)]
        self.models = frozenset(one for one in self.inputs if isinstance(one, Path)).union(
            *(one.models for one in before)
        )
        self.inner = frozenset().union(*(i.inner if i.method in LINEAR else {i} for i in before))
        self.nested = max((one.nested for one in before), default=0)
        if self.method in LINEAR:
            self.evaluations = sum(one.evaluations for one in self.inner)
        else:
            self.evaluations = 1 + sum(one.evaluations for one in before)
            self.nested += 1
        if self.evaluations > MOST_EVALUATIONS or self.nested > MOST_NESTED:
            raise BadInput(
                f"The recipe cannot be evaluated in a reasonable time: {self.method} has "
                f"{self.evaluations:,} non-linear steps in it, {self.nested:,} one in another.",
                why=f"at most {MOST_EVALUATIONS:,}, and {MOST_NESTED:,} one in another, are allowed",
            )

    @property
    def absent(self) -> set[str]:
        """Return the blocks that its ratio leaves out; sd-mecha leaves them out of the file."""
        ratio = self.numbers.get("ratio")
        if not isinstance(ratio, dict) or "unet" in ratio:  # a table of selectors has all
            return set()
        return set(ALL_BLOCKS) - ratio.keys()


AnyWeights = Path | MechaStep  # a model, or a merge


class Searched(NamedTuple):
    """A range or a list in the place of a number, as an experiment has it."""

    values: Any


class Difference(NamedTuple):
    """`of - less`"""

    of: AnyWeights
    less: AnyWeights


class Combined(NamedTuple):
    """A method applied to the others' differences from `base`."""

    method: str
    numbers: Mapping[str, Any]
    base: AnyWeights
    others: tuple[AnyWeights, ...]


class Mask(NamedTuple):
    """The mask of a train difference of three models; its ratio is a number, or block -> number."""

    inputs: tuple[AnyWeights, ...]
    ratio: float | dict[str, float]


class Part(NamedTuple):
    """A single component of a model."""

    model: Path
    component: str


class Parts(NamedTuple):
    """Weights some of whose components come from a model, or are still missing (None)."""

    weights: AnyWeights
    lent: Mapping[str, Path | None] = MappingProxyType({})


class Pairs(NamedTuple):
    """The result of a `dict` line, which has a meaning inside a literal only."""

    values: Mapping[str, Any]
