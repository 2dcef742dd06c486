"""The values that the instructions of sd-mecha's recipes produce.

Nodes are compared by identity, so that a recipe of any shape is cheap to hold; models and steps know what
they are made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.mecha_names import ALL_BLOCKS, selector_of
from gridsearch.experiment.methods import METHODS

# A step that is used twice is evaluated twice, so a few lines can ask for any number of evaluations.
MOST_EVALUATIONS = 200
MOST_NESTED = 50

RatioOrTable = float | dict[str, float]  # one number, or block -> number


@dataclass(frozen=True, eq=False)
class MechaModel:
    """A `model` line."""

    path: Path


@dataclass(frozen=True, eq=False)
class MechaStep:
    """A merge step: its method and numbers as `gridsearch.experiment.methods` has them.

    Attributes:
        absent: the blocks that its ratio leaves out; sd-mecha leaves them out of the file.
        models: all that it is made of.
        inner: the non-linear steps whose results it takes.
        evaluations: of non-linear steps, for one weight of it.
        nested: how many of them stand in one another.
    """

    where: str
    method: str
    inputs: tuple["ModelOrStep", ...]
    numbers: Mapping[str, Any]
    absent: frozenset[str]
    models: frozenset[MechaModel]
    inner: frozenset["MechaStep"]
    evaluations: int
    nested: int


ModelOrStep = MechaModel | MechaStep


@dataclass(frozen=True, eq=False)
class Difference:
    """`of - less`"""

    of: ModelOrStep
    less: ModelOrStep


@dataclass(frozen=True, eq=False)
class Combined:
    """A method applied to the others' differences from `base`."""

    method: str
    base: ModelOrStep
    others: tuple[ModelOrStep, ...]
    numbers: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Mask:
    """The mask of a train difference of three models."""

    inputs: tuple[ModelOrStep, ...]
    ratio: RatioOrTable


@dataclass(frozen=True, eq=False)
class Part:
    """A single component of a model."""

    model: MechaModel
    component: str


@dataclass(frozen=True, eq=False)
class Parts:
    """Weights some of whose components come from a model, or are still missing (None)."""

    weights: ModelOrStep
    lent: Mapping[str, MechaModel | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The result of a `dict` line, which has a meaning inside a literal only."""

    values: Mapping[str, Any]


def new_step(
    where: str,
    method: str,
    inputs: tuple[ModelOrStep, ...],
    ratio: RatioOrTable | None = None,
    **numbers: Any,
) -> MechaStep:
    """Return a step.

    Raises:
        BadInput: evaluating it would take forever.
    """
    absent: frozenset[str] = frozenset()
    if isinstance(ratio, dict):
        absent = frozenset(ALL_BLOCKS) - ratio.keys()
    numbers = {name: value for name, value in (numbers | {"ratio": ratio}).items() if value is not None}
    models = frozenset().union(*({i} if isinstance(i, MechaModel) else i.models for i in inputs))
    before = [i for i in inputs if isinstance(i, MechaStep)]
    inner = frozenset().union(*(i.inner if METHODS[i.method].is_linear() else {i} for i in before))
    nested = max((i.nested for i in before), default=0)
    if METHODS[method].is_linear():
        evaluations = sum(i.evaluations for i in inner)
    else:
        evaluations, nested = 1 + sum(i.evaluations for i in before), nested + 1
    if evaluations > MOST_EVALUATIONS or nested > MOST_NESTED:
        raise BadInput(
            f"The recipe cannot be evaluated in a reasonable time: {method} has {evaluations:,} non-linear "
            f"steps in it, {nested:,} one in another.",
            where=where,
            why=f"at most {MOST_EVALUATIONS:,}, and {MOST_NESTED:,} one in another, are allowed",
        )
    return MechaStep(where, method, inputs, numbers, absent, models, inner, evaluations, nested)


def with_all_blocks(step: MechaStep, ratio: float) -> MechaStep:
    """Return the step with a ratio for the blocks that were left out."""
    table = {block: step.numbers["ratio"].get(block, ratio) for block in ALL_BLOCKS}
    others = {name: value for name, value in step.numbers.items() if name != "ratio"}
    return new_step(step.where, step.method, step.inputs, table, **others)


def steps_of(root: MechaStep) -> list[MechaStep]:
    """Return all steps that the last one is made of, each after its inputs."""
    found: dict[MechaStep, None] = {}
    stack: list[tuple[ModelOrStep, bool]] = [(root, False)]
    while stack:
        node, inputs_are_in = stack.pop()
        if isinstance(node, MechaModel) or node in found:
            continue
        if inputs_are_in:
            found[node] = None
        else:
            stack.append((node, True))
            stack.extend((one, False) for one in reversed(node.inputs))
    return list(found)


def as_selectors(ratio: RatioOrTable) -> RatioOrTable:
    """Return a table over sd-mecha's blocks as one over our selectors."""
    if not isinstance(ratio, dict):
        return ratio
    return {selector_of(block): number for block, number in ratio.items()}
