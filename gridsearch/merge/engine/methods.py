"""The non-linear methods by name, in four forms.

A method in `SUMS` is a sum of its models, with factors from their dot products. One in `CHANGES` adds `ratio`
times a change to its first model, and so does one in `MADE_HERE`, whose change is not worth keeping.
`FUNCTIONS` has functions of whole tensors of one shape in float32: ours in `formulas`, and sd-mecha's own
(https://github.com/ljleb/sd-mecha).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gridsearch.experiment.methods import METHODS
from gridsearch.merge.engine.formulas import differences, directions, dropout, places, spectrum
from gridsearch.merge.engine.formulas.elections import ChangeAt
from gridsearch.merge.engine.formulas.pieces import MOST_TRAINED, add_train_difference, ties
from gridsearch.merge.engine.formulas.products import Products, geometric_median, model_stock, slerp


def _by_gram(coefficients: Callable[..., Any]) -> Callable[..., tuple[float, ...]]:
    return lambda known, **numbers: tuple(coefficients(known.gram(), **numbers).tolist())


SUMS: dict[str, Callable[..., tuple[float, ...]]] = {
    "slerp": slerp,
    "model_stock": model_stock,
    "geometric_median": geometric_median,
    "karcher": _by_gram(directions.karcher_coefficients),
    "multislerp": _by_gram(directions.multislerp_coefficients),
    "add_perpendicular": _by_gram(directions.perpendicular_coefficients),
}


def is_sum(method: str, numbers: Mapping[str, Any]) -> bool:
    """Return whether a step is a sum of its models; model stock is none by the cosines of its rows."""
    return method in SUMS and numbers.get("cosine") != "rows"


def factors(method: str, known: Products, numbers: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the factors of the models of a step that is a sum."""
    return SUMS[method](known, **{name: value for name, value in numbers.items() if name != "cosine"})


# -- as functions of whole tensors


def _cosine(method: str, a: Tensor, b: Tensor, ratio: float) -> Tensor:
    merged = _sd_mecha(method)(a, b, a.new_tensor(ratio))
    return torch.where(merged.isnan(), b, merged)  # nothing is similar to a tensor of zeros


def _model_stock(a: Tensor, *others: Tensor, ratio: float, cosine: str) -> Tensor:
    del cosine  # that of rows: by that of whole tensors it is a sum
    return a.add(_sd_mecha("model_stock")(*(other - a for other in others)), alpha=ratio)


def _sd_mecha(method: str) -> Callable[..., Tensor]:
    """The plain function behind sd-mecha's method of ours."""
    from sd_mecha.extensions import merge_methods  # a second of imports, which other merges are spared

    return merge_methods.resolve(METHODS[method].mecha).__wrapped__


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "cosine_a": partial(_cosine, "cosine_a"),
    "cosine_b": partial(_cosine, "cosine_b"),
    "breadcrumbs": differences.breadcrumbs,
    "breadcrumbs_ties": differences.breadcrumbs_ties,
    "sce": differences.sce,
    "model_stock": _model_stock,
    "isotropic": spectrum.isotropic,
    "low_rank": spectrum.low_rank,
    "nearswap": places.nearswap,
    "tensor_sum": places.tensor_sum,
    "top_k_tensor_sum": places.top_k_tensor_sum,
    "clamp": places.clamp,
    "smooth_add": places.smooth_add,
    "extract": places.extract,
}


# -- as changes


def _at_one(method: str) -> Callable[..., ChangeAt]:
    """Return the change of a method that is `a + ratio * change`, from its result at ratio 1."""

    def change(*tensors: Tensor, **numbers: Any) -> ChangeAt:
        first, *others = [tensor.float() for tensor in tensors]
        made = (FUNCTIONS[method](first, *others, ratio=1.0, **numbers) - first).reshape(-1)
        return lambda here: made[here]

    return change


CHANGES: dict[str, Callable[..., ChangeAt]] = {
    "ties": ties,
    "dare_ties": dropout.dare_ties,
    "dare_linear": dropout.dare_linear,
    "della": dropout.dare_ties,
    **{
        method: _at_one(method)
        for method in (
            "breadcrumbs", "breadcrumbs_ties", "sce", "model_stock", "isotropic", "low_rank", "nearswap",
            "smooth_add",
        )
    },
}  # fmt: skip

# What adds a change, as `linear.MadeHere` says, and by how much its greatest value may exceed the sum of the
# greatest values of the step's models but the first.
MADE_HERE: dict[str, tuple[Callable[..., None], float]] = {
    "train_difference": (add_train_difference, MOST_TRAINED)
}
