"""The evaluation of terms: the merged tensor of one file key, and the non-linear methods.

Those are called tensor by tensor: the functions of `gridsearch.merge.engine.formulas`, and sd-mecha's own
(https://github.com/ljleb/sd-mecha). All their inputs and results are float32 tensors of one shape.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from gridsearch.experiment.methods import ADAPTER, METHODS
from gridsearch.merge.engine.collapse import Node, Terms
from gridsearch.merge.engine.formulas import differences, directions, places, spectrum
from gridsearch.merge.engine.linear import blend


class Source(Protocol):
    """A checkpoint's weights, or an adapter's differences, by file key."""

    def tensor(self, key: str) -> Tensor: ...


class ChangingSource(Protocol):
    """An adapter whose change of a weight depends on it."""

    def change(self, key: str, base: Tensor) -> Tensor:
        """Return the change of `base` at strength one, float32 and on its device."""


def evaluate(
    terms: Terms, key: str, sources: Mapping[str, Source], dtype: torch.dtype, buffer: Tensor
) -> Tensor:
    """Return the sum as a new tensor of the file's shape, rounded once to `dtype`."""
    return blend(*summands(terms, key, sources, buffer), dtype, buffer)


def summands(
    terms: Terms, key: str, sources: Mapping[str, Source], buffer: Tensor
) -> tuple[list[Tensor], list[float]]:
    """Return the tensors that a sum is made of, and their weights; nodes are computed here."""
    tensors = []
    for source, _ in terms:
        if isinstance(source, str):
            tensors.append(sources[source].tensor(key))
        else:
            inputs = [evaluate(own, key, sources, torch.float32, buffer) for own in source.inputs]
            tensors.append(_computed(source, inputs, key, sources))
    return tensors, [weight for _, weight in terms]


def _computed(node: Node, inputs: list[Tensor], key: str, sources: Mapping[str, Source]) -> Tensor:
    numbers = dict(node.numbers)
    if node.method == ADAPTER:
        return cast(ChangingSource, sources[numbers["adapter"]]).change(key, *inputs)
    return FUNCTIONS[node.method](*inputs, **numbers)


# -- non-linear methods


def slerp(a: Tensor, b: Tensor, ratio: float) -> Tensor:
    return _sd_mecha("slerp")(a, b, a.new_tensor(ratio))


def _cosine(method: str, a: Tensor, b: Tensor, ratio: float) -> Tensor:
    merged = _sd_mecha(method)(a, b, a.new_tensor(ratio))
    return torch.where(merged.isnan(), b, merged)  # nothing is similar to a tensor of zeros


def train_difference(a: Tensor, b: Tensor, c: Tensor, ratio: float) -> Tensor:
    return a.addcmul(b - c, _sd_mecha("train_difference")(a, b, c, a.new_tensor(ratio)))


def ties(a: Tensor, *others: Tensor, ratio: float, k: float, vote: str) -> Tensor:
    combined = _sd_mecha("ties")(*(other - a for other in others), k=k, vote_sgn=vote == "magnitude")
    return a.add(combined, alpha=ratio)


def model_stock(a: Tensor, *others: Tensor, ratio: float, cosine: str) -> Tensor:
    """Go to the mean of the others by t = N cos / (1 + (N - 1) cos) (Jang et al. 2024, equation 5).

    As the mean of all pairs the cosine is at least -1 / (N - 1), where t has its pole. Below zero the paper
    says nothing: t stays above -1, so that models which contradict one another are not magnified.
    """
    differences = [other - a for other in others]
    if cosine == "rows":
        return a.add(_sd_mecha("model_stock")(*differences), alpha=ratio)
    flat = [difference.flatten().double() for difference in differences]
    cosines = [cosine_similarity(*pair, dim=0, eps=1e-30).item() for pair in combinations(flat, 2)]
    n, mean = len(others), fmean(cosines)
    t = n * mean / max(1 + (n - 1) * mean, abs(n * mean))
    return a.add(torch.stack(differences).mean(0), alpha=ratio * t)


def geometric_median(*tensors: Tensor) -> Tensor:
    return _sd_mecha("geometric_median")(*tensors)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "slerp": slerp,
    "train_difference": train_difference,
    "cosine_a": partial(_cosine, "cosine_a"),
    "cosine_b": partial(_cosine, "cosine_b"),
    "ties": ties,
    "dare_ties": differences.dare_ties,
    "dare_linear": differences.dare_linear,
    "della": differences.della,
    "breadcrumbs": differences.breadcrumbs,
    "breadcrumbs_ties": differences.breadcrumbs_ties,
    "sce": differences.sce,
    "model_stock": model_stock,
    "geometric_median": geometric_median,
    "karcher": directions.karcher,
    "multislerp": directions.multislerp,
    "add_perpendicular": directions.add_perpendicular,
    "isotropic": spectrum.isotropic,
    "low_rank": spectrum.low_rank,
    "nearswap": places.nearswap,
    "tensor_sum": places.tensor_sum,
    "top_k_tensor_sum": places.top_k_tensor_sum,
    "clamp": places.clamp,
    "smooth_add": places.smooth_add,
    "extract": places.extract,
}


def _sd_mecha(method: str) -> Callable[..., Tensor]:
    """The plain function behind sd-mecha's method of ours."""
    from sd_mecha.extensions import merge_methods  # a second of imports, which linear merges are spared

    return merge_methods.resolve(METHODS[method].mecha).__wrapped__
