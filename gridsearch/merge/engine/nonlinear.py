"""Non-linear merge methods, tensor by tensor: sd-mecha's own functions (https://github.com/ljleb/sd-mecha).

All inputs and results are float32 tensors of one shape.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def apply_method(method: str, tensors: Sequence[Tensor], numbers: dict[str, float]) -> Tensor:
    """The result of a non-linear step.

    Args:
        tensors: its inputs in order, (…) float32 each.
        numbers: `ratio`, `k`, `probability`, `della_eps`, `seed`, as far as the method has them.
    """
    first, *others = tensors
    ratio = numbers.get("ratio", 1.0)
    match method:
        case "slerp":
            return _sd_mecha("slerp")(first, others[0], _scalar(first, ratio))
        case "cosine_a" | "cosine_b":
            merged = _sd_mecha(f"add_{method}")(first, others[0], _scalar(first, ratio))
            return torch.where(merged.isnan(), others[0], merged)  # nothing is like a tensor of zeros
        case "train_difference":
            mask = _sd_mecha("train_difference_mask")(first, *others, _scalar(first, ratio))
            return first.addcmul(others[0] - others[1], mask)
        case "geometric_median":
            return _sd_mecha("geometric_median")(*tensors)
    return first.add(_of_differences(method, [tensor - first for tensor in others], numbers), alpha=ratio)


def _of_differences(method: str, differences: Sequence[Tensor], numbers: dict[str, float]) -> Tensor:
    """What a method makes of the others' differences from the first model."""
    if method == "model_stock":
        return _sd_mecha("model_stock")(*differences)
    if method == "ties":
        return _sd_mecha("ties_sum")(*differences, k=numbers["k"])
    # apply_stock: in 1.1.8 the flag is read the wrong way round, and True is the plain method's.
    return _sd_mecha("ties_sum_with_dropout")(
        *differences,
        probability=_scalar(differences[0], numbers["probability"]),
        della_eps=numbers.get("della_eps", 0.0),
        k=numbers["k"],
        apply_stock=True,
        seed=int(numbers["seed"]),
    )


def _sd_mecha(name: str):
    """The plain function behind one of sd-mecha's methods."""
    from sd_mecha.extensions import merge_methods  # a second of imports, which linear merges are spared

    return merge_methods.resolve(name).__wrapped__


def _scalar(like: Tensor, value: float) -> Tensor:
    return like.new_tensor(value)
