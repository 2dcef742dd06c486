"""The steps of a merge: each takes models, adapters or earlier steps by name and makes something of them.

Ratio 0 is the first model and 1 the second. Wherever a formula holds a number it may be searched, and so may
the model in any place of `models`: a list there names those to choose from. A `ratio` may also be a table
with a number per block or part (`gridsearch.checkpoint.sdxl.blocks`); a later entry overrules an earlier
one.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from gridsearch.checkpoint.sdxl.blocks import checked_selector
from gridsearch.experiment.values import (
    LISTED,
    SearchableNumber,
    Share,
    Table,
    between,
    choices_of,
    form,
    is_range,
)

# Of a model or a merge step: it becomes part of file names and of parameter names.
Name = Annotated[str, Field(pattern=r"^\w[\w-]*$", max_length=100)]


def _flat(blocks: object) -> object:
    """`IN04.attention = 0.5` without quotes is a table in a table to TOML; here it means the same."""
    found = {}
    for selector, value in blocks.items() if isinstance(blocks, dict) else ():
        nested = value.items() if isinstance(value, dict) and not is_range(value) else [("", value)]
        found |= {f"{selector}.{inner}".rstrip("."): number for inner, number in nested}
    return found or blocks


def _ratio_form(value: object) -> str:
    return "blocks" if isinstance(value, dict) and not is_range(value) else "number"


MAX_RATIO = 1e6  # a ratio beyond it says nothing new, and float32 has an end
Bounded = Annotated[SearchableNumber, between(-MAX_RATIO, MAX_RATIO)]
Selector = Annotated[str, AfterValidator(checked_selector)]
Blocks = Annotated[dict[Selector, Bounded], BeforeValidator(_flat), Field(min_length=1)]
Ratio = Annotated[
    Annotated[Bounded, Tag("number")] | Annotated[Blocks, Tag("blocks")], Discriminator(_ratio_form)
]
Probability = Annotated[SearchableNumber, between(0, 1, open_end=True)]
Candidates = Annotated[tuple[Name, ...], *LISTED]
Input = Annotated[Annotated[Name, Tag("value")] | Candidates, Discriminator(form)]
Two = tuple[Input, Input]
Three = tuple[Input, Input, Input]


class _Step(Table):
    name: Name = "merged"

    def candidates(self) -> tuple[tuple[str, ...], ...]:
        """The names that may stand in each place of `models`: one, or those of a list."""
        return tuple(choices_of(names) for names in self.models)

    def inputs_text(self) -> str:
        """`a, b`; of a list, `one of ep1, ep2`."""
        return ", ".join(f"one of {', '.join(x)}" if isinstance(x, tuple) else x for x in self.models)


# -- linear: computed here, a chain of them in one pass


class WeightedSum(_Step):
    """`a * (1 - ratio) + b * ratio`."""

    method: Literal["weighted_sum"] = "weighted_sum"
    models: Two
    ratio: Ratio


class AddDifference(_Step):
    """`a + ratio * (b - c)`."""

    method: Literal["add_difference"]
    models: Three
    ratio: Ratio = 1.0


class Average(_Step):
    """The mean of any number of models, or a sum weighted by `weights`; they are divided by their sum unless
    `normalize` is false."""

    method: Literal["average"]
    models: Annotated[tuple[Input, ...], Field(min_length=2)]
    weights: tuple[Bounded, ...] | None = None
    normalize: bool = True

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.models):
            raise ValueError(f"{len(self.weights)} weights are given for {len(self.models)} models")
        names = [name for names in self.candidates() for name in names]
        if len(set(names)) < len(names):
            raise ValueError("a model is listed twice: give it more weight instead")
        return self


class Adapter(_Step):
    """`a + ratio * b`, where b is an adapter (LoRA, LoCon, LoHa, LoKr)."""

    method: Literal["adapter"]
    models: Two
    ratio: Ratio


# -- non-linear: sd-mecha's methods, tensor by tensor


class Slerp(_Step):
    """From a to b along the arc between their directions, norms interpolated (Shoemake 1985)."""

    method: Literal["slerp"]
    models: Two
    ratio: Ratio


class TrainDifference(_Step):
    """`a + mask * (b - c)`: what training made of c to get b, where a has not gone that way already
    (supermerger's train difference); the mask is proportional to `ratio`."""

    method: Literal["train_difference"]
    models: Three
    ratio: Ratio = 1.0


class Cosine(_Step):
    """From a to b by the similarity of their columns less `ratio` (supermerger's cosine A and B)."""

    method: Literal["cosine_a", "cosine_b"]
    models: Two
    ratio: Ratio


_AndOthers = Annotated[tuple[Input, ...], Field(min_length=3)]


class Ties(_Step):
    """`a + ratio * ties(b - a, c - a, ...)`: of each difference the largest share `k`, of those the
    majority's sign (Yadav et al. 2023)."""

    method: Literal["ties"]
    models: _AndOthers
    ratio: Ratio = 1.0
    k: Share = 0.2


class DareTies(_Step):
    """TIES on differences of which the share `probability` was dropped at random and the rest scaled up
    (Yu et al. 2023)."""

    method: Literal["dare_ties"]
    models: _AndOthers
    ratio: Ratio = 1.0
    k: Share = 0.2
    probability: Probability = 0.9
    seed: int = Field(default=0, ge=0, lt=2**63)


class Della(DareTies):
    """DARE where small differences are dropped more often than large ones, by up to half of `della_eps`
    either way (Deep et al. 2024)."""

    method: Literal["della"]
    della_eps: Share = 0.1


class ModelStock(_Step):
    """`a + ratio * t * mean(b - a, c - a, ...)`, t from the differences' angles (Jang et al. 2024)."""

    method: Literal["model_stock"]
    models: _AndOthers
    ratio: Ratio = 1.0


class GeometricMedian(_Step):
    """The point with the least sum of distances to all models (Weiszfeld 1937): one far model is outvoted."""

    method: Literal["geometric_median"]
    models: _AndOthers


_KINDS = {
    "weighted_sum": WeightedSum,
    "add_difference": AddDifference,
    "average": Average,
    "adapter": Adapter,
    "slerp": Slerp,
    "train_difference": TrainDifference,
    "cosine_a": Cosine,
    "cosine_b": Cosine,
    "ties": Ties,
    "dare_ties": DareTies,
    "della": Della,
    "model_stock": ModelStock,
    "geometric_median": GeometricMedian,
}
METHODS = tuple(_KINDS)


def _kind(value: object) -> str:
    """A step's kind by its method: a weighted sum where none is named."""
    method = value.get("method", "weighted_sum") if isinstance(value, dict) else getattr(value, "method", "")
    return _KINDS[method].__name__ if isinstance(method, str) and method in _KINDS else str(method)


MergeStep = Annotated[
    Annotated[WeightedSum, Tag("WeightedSum")]
    | Annotated[AddDifference, Tag("AddDifference")]
    | Annotated[Average, Tag("Average")]
    | Annotated[Adapter, Tag("Adapter")]
    | Annotated[Slerp, Tag("Slerp")]
    | Annotated[TrainDifference, Tag("TrainDifference")]
    | Annotated[Cosine, Tag("Cosine")]
    | Annotated[Ties, Tag("Ties")]
    | Annotated[DareTies, Tag("DareTies")]
    | Annotated[Della, Tag("Della")]
    | Annotated[ModelStock, Tag("ModelStock")]
    | Annotated[GeometricMedian, Tag("GeometricMedian")],
    Discriminator(_kind),
]
KINDS = {kind.__name__: kind for kind in _KINDS.values()}  # tag -> class
