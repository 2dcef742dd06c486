"""The merge methods: the arguments of each, and all that other parts must know of it.

A step of a merge takes models, adapters or earlier steps by name. Ratio 0 is the first model and 1 the
second. Wherever a formula holds a number it may be searched, and so may the model in any place of `models`: a
list there names those to choose from. A `ratio` may also be a table with a number per block or part
(`gridsearch.checkpoint.ldm.keys`); a later entry overrules an earlier one.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationInfo, create_model, model_validator

from gridsearch.base.errors import RunFailed
from gridsearch.experiment.arguments import (
    Bounded,
    Combine,
    Cosine,
    Input,
    Name,
    NotNegative,
    Probability,
    Rank,
    Ranks,
    Ratio,
    Seed,
    ShareRatio,
    Three,
    ThreeOrMore,
    Tilt,
    Two,
    TwoOrMore,
    Vote,
)
from gridsearch.experiment.gradients import reach_of
from gridsearch.experiment.values import Share, Table, choices_of, least_and_most

ADAPTER = "adapter"  # the method that adds one
STRONGEST = 10.0  # strength of an adapter that needs not be asked for

FIRST: Mapping[float, int] = {0: 0}
FIRST_AND_SECOND: Mapping[float, int] = {0: 0, 1: 1}
NONE: Mapping[float, int] = {}


class Step(Table):
    """A merge step; `METHODS` has a subclass for each method, with its own arguments.

    `extrapolate` lets an experiment's file go beyond the models, which is more often percent by mistake.
    """

    name: Name = "merged"
    method: str = "weighted_sum"
    models: tuple[Input, ...]
    extrapolate: bool = Field(default=False, exclude=True)

    alone_at: ClassVar[Mapping[float, int]] = NONE  # ratio -> the index of the model that it leaves as it is
    mecha: ClassVar[str | None] = None  # sd-mecha's name of the method

    @model_validator(mode="after")
    def _within_its_models(self, info: ValidationInfo) -> Self:
        if info.context is not None:
            self.require_within(*reach_of(self.numbers().get("ratio", 0.0)))
        return self

    def require_within(self, least: float, most: float) -> None:
        """Require that ratios from `least` to `most` lie between the models; else a ValueError."""
        low, high, ends = 0.0, 1.0, "0 is the first model and 1 the second"
        if ADAPTER in self.methods():
            low, high, ends = -STRONGEST, STRONGEST, "1 is the adapter at its full strength"
        beyond = next((one for one in (most, least) if not low <= one <= high), None)
        if beyond is not None and not self.extrapolate:
            percent = f" Did you mean {beyond / 100:g}?" if 2 < beyond <= 100 else ""
            told = f"To use {beyond:g}, write extrapolate = true in the [[merge]] step of an experiment file"
            raise ValueError(f"{ends}.{percent} {told}")

    def __reduce__(self) -> tuple:
        """Let it be sent to another process, though its class is made by `_method` and cannot be imported."""
        return _unpickled, (self.model_dump(),)

    def is_linear(self) -> bool:
        """Return whether it is a sum of its models, so that a chain of such steps is computed in one pass."""
        return self.method in LINEAR

    def coefficients(self, ratio: float) -> tuple[float, ...]:
        """Return the factors of the models, whose sum a linear method is."""
        return LINEAR[self.method](self, ratio)

    def ratio_at(self, _key: str, ratio: float) -> float:
        """Return the ratio for one file key, where it is `ratio` for the key's block."""
        return ratio

    def numbers(self) -> dict[str, Any]:
        """Return the method's own arguments that have a value."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in Step.model_fields}
        return {name: value for name, value in own.items() if value is not None}

    def candidates(self) -> tuple[tuple[str, ...], ...]:
        """Return the names that may stand in each place of `models`: one, or those of a list."""
        return tuple(choices_of(names) for names in self.models)

    def methods(self) -> tuple[str, ...]:
        """Return the methods that it may have: one, or those of a list."""
        return choices_of(self.method)

    def inputs_text(self) -> str:
        """Return `a, b`; of a list, `one of ep1, ep2`."""
        return ", ".join(f"one of {', '.join(x)}" if isinstance(x, tuple) else x for x in self.models)


def _unpickled(settings: dict[str, Any]) -> Step:
    return METHODS[settings["method"]].model_validate(settings)


class Weighted(Step):
    """A mean of any number of models, weighted by `weights`: all equal where none are given."""

    models: TwoOrMore
    weights: tuple[Bounded, ...] | None = None

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.models):
            raise ValueError(f"{len(self.weights)} weights are given for {len(self.models)} models")
        names = [name for names in self.candidates() for name in names]
        if len(set(names)) < len(names):
            raise ValueError("a model is listed twice: give it more weight instead")
        return self

    def only_proportions_count(self) -> bool:
        """Return whether the weights are divided by their sum."""
        return True


class Average(Weighted):
    """The mean of any number of models, or a sum weighted by `weights`; they are divided by their sum unless
    `normalize` is false."""

    normalize: bool = True

    mecha = "n_average"

    def only_proportions_count(self) -> bool:
        return self.normalize

    def fixed_weights(self) -> tuple[float, ...]:
        """Return the weights of a step in which nothing is searched."""
        weights: tuple[Any, ...] = self.weights or (1.0,) * len(self.models)
        return weights

    def shares(self, _ratio: float) -> tuple[float, ...]:
        """Return the factors of the models in such a step."""
        weights = self.fixed_weights()
        if not self.normalize:
            return weights
        if (total := sum(weights)) == 0:
            raise RunFailed(
                f"The weights of step {self.name!r} add up to zero.",
                fix="Give one of them another weight, or set normalize = false.",
            )
        return tuple(weight / total for weight in weights)


class OnSphere(Weighted):
    """A mean of the models' directions, at their mean length."""

    weights: tuple[NotNegative, ...] | None = None

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.weights is not None and not any(most > 0 for _, most in map(least_and_most, self.weights)):
            raise ValueError("all weights are zero")
        return self


class Breadcrumbs(Step):
    """The sum of the differences from the first model, each without its smallest and largest values."""

    models: TwoOrMore
    ratio: Ratio = 1.0
    drop_smallest: Share = 0.85
    drop_largest: Share = 0.01

    alone_at = FIRST

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        most = least_and_most(self.drop_smallest)[1] + least_and_most(self.drop_largest)[1]
        if most >= 1:
            raise ValueError(f"drop_smallest and drop_largest add up to {most:g}, so nothing would be left")
        return self


class Pick(Step):
    """Each tensor from one of two models, drawn at random: from the second with the chance `ratio`."""

    models: Two
    ratio: ShareRatio
    seed: Seed = 0

    alone_at = FIRST_AND_SECOND

    def ratio_at(self, key: str, ratio: float) -> float:
        """Return 1 where the tensor with this key is the second model's, else 0.

        The draws of a seed are the same at every ratio, so a greater one takes more tensors and returns none.
        """
        drawn = int.from_bytes(hashlib.sha256(f"{self.seed} {key}".encode()).digest()[:8])
        return float(drawn < ratio * 2**64)


def _method(
    models: Any,
    arguments: dict[str, Any],
    alone_at: Mapping[float, int],
    mecha: str | None = None,
    base: type[Step] = Step,
) -> type[Step]:
    """Return the class of a method's steps; `arguments` has each one's type and default (... for none)."""
    kind = create_model("Step", __base__=base, models=(models, ...), **arguments)
    kind.alone_at, kind.mecha = alone_at, mecha
    return kind


RATIO = {"ratio": (Ratio, ...)}
STRENGTH = {"ratio": (Ratio, 1.0)}
VOTE = {"vote": (Vote, "magnitude")}
TIES = {**STRENGTH, "k": (Share, 0.2), **VOTE, "combine": (Combine, "mean")}
DROPPED = {"probability": (Probability, 0.9), "seed": (Seed, 0), "rescale": (bool, True)}
DARE = {**TIES, **DROPPED}
DELLA = {**DARE, "k": (Share, 1.0), "della_eps": (Tilt, 0.1), "ranks": (Ranks, "rows")}
REGION = {"ratio": (ShareRatio, ...), "offset": (Share, 0.0)}
EXTRACT = {**RATIO, "differing": (Share, 0.0), "gamma": (NotNegative, 1.0)}
METHODS: dict[str, type[Step]] = {
    # `a * (1 - ratio) + b * ratio`
    "weighted_sum": _method(Two, RATIO, FIRST_AND_SECOND, "weighted_sum"),
    # `a + ratio * (b - c)`
    "add_difference": _method(Three, STRENGTH, FIRST, "add_difference"),
    "average": Average,
    # `a + ratio * b`, where b is an adapter (LoRA, LoCon, LoHa, LoKr), or what a DoRA and its like make of a,
    # less a
    ADAPTER: _method(Two, RATIO, FIRST),
    # from a to b along the arc between their directions, norms interpolated (Shoemake 1985); a and b
    # themselves at the ends, where sd-mecha's is not exact
    "slerp": _method(Two, RATIO, FIRST_AND_SECOND, "slerp"),
    # `a + mask * (b - c)`: what training made of c to get b, where a has not gone that way already
    # (supermerger's train difference); the mask is proportional to `ratio`
    "train_difference": _method(Three, STRENGTH, FIRST, "train_difference_mask"),
    # from a to b by the similarity of their columns less `ratio` (supermerger's cosine A and B)
    "cosine_a": _method(Two, RATIO, NONE, "add_cosine_a"),
    "cosine_b": _method(Two, RATIO, NONE, "add_cosine_b"),
    # `a + ratio * ties(b - a, c - a, ...)`: of each difference the largest share `k`, and of those, at each
    # place, the mean of the ones that have the elected sign: that of their sum (Yadav et al. 2023), or by
    # `vote = "count"` that of the greater number; or by `combine` their geometric median, or a model stock
    "ties": _method(ThreeOrMore, TIES, FIRST, "ties_sum"),
    # TIES on differences of which the share `probability` was dropped at random and the rest scaled up
    # (Yu et al. 2023)
    "dare_ties": _method(ThreeOrMore, DARE, FIRST, "ties_sum_with_dropout"),
    # `a + ratio * sum(b - a, ...)`, the differences thinned so
    "dare_linear": _method(TwoOrMore, {**STRENGTH, **DROPPED}, FIRST),
    # DARE where small differences are dropped more often than large ones, by up to half of `della_eps` either
    # way: ranked within rows, each scaled up by its own chance (Deep et al. 2024); or by `ranks = "tensor"`
    # all together, as sd-mecha has it
    "della": _method(ThreeOrMore, DELLA, FIRST, "ties_sum_with_dropout"),
    # `a + ratio * sum(b - a, ...)`, each difference without its smallest and its largest values (Davari &
    # Belilovsky 2023); or, as in TIES, their elected mean (mergekit)
    "breadcrumbs": Breadcrumbs,
    "breadcrumbs_ties": _method(ThreeOrMore, VOTE, FIRST, base=Breadcrumbs),
    # of the differences the share `k` of places where they vary most, each weighted by its mean square, and
    # at each place those with the elected sign (Wan et al. 2024)
    "sce": _method(ThreeOrMore, {**STRENGTH, "k": (Share, 0.1)}, FIRST),
    # `a + ratio * t * mean(b - a, c - a, ...)`, t from the mean cosine of two differences (Jang et al. 2024):
    # over the whole tensor, or over its last dimension as sd-mecha takes it
    "model_stock": _method(ThreeOrMore, {**STRENGTH, "cosine": (Cosine, "tensor")}, FIRST, "model_stock"),
    # the point with the least sum of distances to all models (Weiszfeld 1937): one far model is outvoted
    "geometric_median": _method(ThreeOrMore, {}, NONE, "geometric_median"),
    # the mean of the models' directions on the sphere, at their mean length: the least sum of squared angles
    # (Karcher 1977), or the plain mean of the directions (mergekit's multislerp)
    "karcher": _method(TwoOrMore, {}, NONE, base=OnSphere),
    "multislerp": _method(TwoOrMore, {}, NONE, base=OnSphere),
    # `a + ratio * (b - c)` without the part of b - c that goes the way of a - c
    "add_perpendicular": _method(Three, STRENGTH, FIRST, "perpendicular_component"),
    # a plus the sum of the differences, all its singular values made equal (Iso-C, Marczak et al. 2025)
    "isotropic": _method(TwoOrMore, STRENGTH, FIRST),
    # `a + ratio * (b - a)`, of the difference only its `rank` largest singular values
    "low_rank": _method(Two, {**STRENGTH, "rank": (Rank, 8)}, FIRST, "truncate_rank"),
    # b where it is within `threshold` of a, and elsewhere so far towards it (alchemonaut 2024)
    "nearswap": _method(Two, {**STRENGTH, "threshold": (NotNegative, ...)}, FIRST),
    # each tensor from a or b, drawn at random
    "pick": Pick,
    # the share `ratio` of each tensor's rows from b (supermerger's tensor)
    "tensor_sum": _method(Two, REGION, FIRST_AND_SECOND, "tensor_sum"),
    # the values of a in the order of those of b, the share `ratio` of them
    "top_k_tensor_sum": _method(Two, REGION, FIRST, "top_k_tensor_sum"),
    # a limited to the range of the others
    "clamp": _method(ThreeOrMore, {"stiffness": (Share, 0.0)}, NONE, "clamp"),
    # `a + ratio * smooth(b - c)`, and what b and c have in common, or have not, beside a (supermerger)
    "smooth_add": _method(Three, STRENGTH, FIRST),
    "extract": _method(Three, EXTRACT, NONE),
}
# The factors of the models of a step at a ratio, for each linear method. For any other there is a function in
# `gridsearch.merge.engine.methods`, applied tensor by tensor.
LINEAR: dict[str, Callable[[Any, float], tuple[float, ...]]] = {
    "weighted_sum": lambda _, ratio: (1 - ratio, ratio),
    "add_difference": lambda _, ratio: (1.0, ratio, -ratio),
    "average": Average.shares,
    ADAPTER: lambda _, ratio: (1.0, ratio),
    "pick": lambda _, ratio: (1 - ratio, ratio),
}
# Arguments that may be searched: numbers that are not counts, and neither switches nor words.
_TYPES = {name: field.annotation for kind in METHODS.values() for name, field in kind.model_fields.items()}
NOT_NUMBERS = (int, Seed, bool, Vote, Combine, Cosine, Ranks)
SEARCHABLE = tuple(
    name for name, type_ in _TYPES.items() if name not in Step.model_fields and type_ not in NOT_NUMBERS
)
