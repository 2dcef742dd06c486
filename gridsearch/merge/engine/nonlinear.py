"""Non-linear merge methods, tensor by tensor: sd-mecha's own functions (https://github.com/ljleb/sd-mecha).

All inputs and results are float32 tensors of one shape.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gridsearch.experiment.methods import METHODS


def apply_method(method: str, tensors: Sequence[Tensor], numbers: Mapping[str, float]) -> Tensor:
    """Return the result of a non-linear step.

    Args:
        tensors: its inputs in order, (…) float32 each.
        numbers: the method's own arguments.
    """
    return FUNCTIONS[method](*tensors, **numbers)


def slerp(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return _sd_mecha("slerp")(a, b, a.new_tensor(ratio))


def cosine_a(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return _where_defined(_sd_mecha("cosine_a")(a, b, a.new_tensor(ratio)), b)


def cosine_b(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return _where_defined(_sd_mecha("cosine_b")(a, b, a.new_tensor(ratio)), b)


def train_difference(a: Tensor, b: Tensor, c: Tensor, ratio: float) -> Tensor:
    return a.addcmul(b - c, _sd_mecha("train_difference")(a, b, c, a.new_tensor(ratio)))


def ties(a: Tensor, *others: Tensor, ratio: float, k: float) -> Tensor:
    return a.add(_sd_mecha("ties")(*(other - a for other in others), k=k), alpha=ratio)


def dare_ties(
    a: Tensor,
    *others: Tensor,
    ratio: float,
    k: float,
    probability: float,
    seed: float,
    della_eps: float = 0.0,
) -> Tensor:
    """DARE, and with `della_eps` DELLA."""
    combined = _sd_mecha("dare_ties")(
        *(other - a for other in others),
        probability=a.new_tensor(probability),
        della_eps=della_eps,
        k=k,
        apply_stock=True,  # in 1.1.8 the flag is read the wrong way round, and True is the plain method's
        seed=int(seed),
    )
    return a.add(combined, alpha=ratio)


def model_stock(a: Tensor, *others: Tensor, ratio: float) -> Tensor:
    return a.add(_sd_mecha("model_stock")(*(other - a for other in others)), alpha=ratio)


def geometric_median(*tensors: Tensor) -> Tensor:
    return _sd_mecha("geometric_median")(*tensors)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "slerp": slerp,
    "train_difference": train_difference,
    "cosine_a": cosine_a,
    "cosine_b": cosine_b,
    "ties": ties,
    "dare_ties": dare_ties,
    "della": dare_ties,
    "model_stock": model_stock,
    "geometric_median": geometric_median,
}


def _where_defined(merged: Tensor, other: Tensor) -> Tensor:
    """The merged tensor, and the other where it is NaN: nothing is similar to a tensor of zeros."""
    return torch.where(merged.isnan(), other, merged)


def _sd_mecha(method: str) -> Callable[..., Tensor]:
    """The plain function behind sd-mecha's method of ours."""
    from sd_mecha.extensions import merge_methods  # a second of imports, which linear merges are spared

    return merge_methods.resolve(METHODS[method].mecha).__wrapped__
