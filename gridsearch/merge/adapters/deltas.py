"""The change of one weight at strength one, from the parts of an adapter's module.

Convolutions are [out, in, height, width]; r is the rank. Each is scaled by alpha / r (see `scale`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor


def lora(up: Tensor, down: Tensor) -> Tensor:
    """up [out, r] @ down [r, in]; a convolution's down is [r, in, h, w] and its up 1x1.

    Hu et al. 2021, https://arxiv.org/abs/2106.09685; convolutions as in LoCon and sd-scripts.
    """
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def locon(up: Tensor, down: Tensor, mid: Tensor) -> Tensor:
    """A convolution as three: 1x1 down [r, in], mid [r, r, h, w], 1x1 up [out, r].

    The Tucker form of LoCon: Yeh et al. 2023, https://arxiv.org/abs/2309.14859.
    """
    return _tucker(mid, up.flatten(1).T, down.flatten(1))


def loha(hada_w1_a: Tensor, hada_w1_b: Tensor, hada_w2_a: Tensor, hada_w2_b: Tensor) -> Tensor:
    """(w1_a @ w1_b) * (w2_a @ w2_b), elementwise; a [out, r], b [r, in], or [r, in h w] of a convolution.

    Hyeon-Woo et al. 2021 (FedPara), https://arxiv.org/abs/2108.06098.
    """
    return _hadamard(lora(hada_w1_a, hada_w1_b), lora(hada_w2_a, hada_w2_b))


def loha_tucker(hada_t1: Tensor, hada_t2: Tensor, **parts: Tensor) -> Tensor:
    """`loha` of a convolution, each factor from t [r, r, h, w], a [r, out] and b [r, in]."""
    first = _tucker(hada_t1, parts["hada_w1_a"], parts["hada_w1_b"])
    return _hadamard(first, _tucker(hada_t2, parts["hada_w2_a"], parts["hada_w2_b"]))


def lokr(**parts: Tensor) -> Tensor:
    """The Kronecker product of w1 [a, b] and w2 [c, d] or [c, d, h, w], each whole or in factors.

    Edalati et al. 2022 (KronA), https://arxiv.org/abs/2212.10650; the factors are those of LyCORIS.
    """
    w1 = parts["lokr_w1"] if "lokr_w1" in parts else lora(parts["lokr_w1_a"], parts["lokr_w1_b"])
    if "lokr_w2" in parts:
        w2 = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        w2 = _tucker(parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        w2 = lora(parts["lokr_w2_a"], parts["lokr_w2_b"])
    w1 = w1.reshape((*w1.shape, *[1] * (w2.ndim - w1.ndim)))
    return torch.kron(w1, w2.contiguous())  # torch.kron takes no view that a contraction left


def _hadamard(first: Tensor, second: Tensor) -> Tensor:
    if first.shape != second.shape:  # or they would be broadcast
        raise ValueError(f"the factors are {list(first.shape)} and {list(second.shape)}")
    return first * second


def _tucker(core: Tensor, out: Tensor, into: Tensor) -> Tensor:
    """core [r, r, h, w], out [r, out], into [r, in] -> [out, in, h, w]."""
    if core.shape[0] != core.shape[1]:  # so that no intermediate tensor is larger than the file's own
        raise ValueError(f"the core {list(core.shape)} is not square")
    return torch.einsum("ij...,io,jn->on...", core, out, into)


@dataclass(frozen=True)
class DeltaKind:
    """A way to write a change."""

    name: str
    formula: Callable[..., Tensor]
    rank_of: str | None = None  # the part whose first side is the rank

    @property
    def has_rank(self) -> bool:
        """Return whether it is scaled by alpha over rank; a LoKr of whole factors is, where PEFT made it."""
        return self.rank_of is not None or self.formula is lokr


def _kinds() -> dict[frozenset[str], DeltaKind]:
    hada = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
    kinds = {
        frozenset({"up", "down"}): DeltaKind("LoRA", lora, "down"),
        frozenset({"up", "down", "mid"}): DeltaKind("LoCon", locon, "down"),
        frozenset(hada): DeltaKind("LoHa", loha, "hada_w1_b"),
        frozenset(hada | {"hada_t1", "hada_t2"}): DeltaKind("LoHa", loha_tucker, "hada_w1_b"),
        frozenset({"diff"}): DeltaKind("full", lambda diff: diff),
        frozenset({"w_norm"}): DeltaKind("norm", lambda w_norm: w_norm),
    }
    first = ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
    second = ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
    for w1, w2 in product(first, second):
        # LyCORIS scales a product of two whole factors by one, whatever alpha says.
        rank_of = next((part for part in ("lokr_w2_b", "lokr_w1_b") if part in w1 | w2), None)
        kinds[frozenset(w1 | w2)] = DeltaKind("LoKr", lokr, rank_of)
    return kinds


DELTA_KINDS = _kinds()  # parts -> the kind that consists of them
BIAS_KINDS = {
    "diff_b": DeltaKind("full", lambda diff_b: diff_b),
    "b_norm": DeltaKind("norm", lambda b_norm: b_norm),
}


def delta_shape(kind: DeltaKind, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of the change, without making it; a ValueError where its parts do not fit."""
    try:
        parts = {part: torch.empty(shape, device="meta") for part, shape in shapes.items()}
        return tuple(kind.formula(**parts).shape)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def shapes_agree(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether a change of shape `shape` fits a weight of shape `wanted`.

    A linear layer and a 1x1 convolution are the same; [out, in h w] is a convolution's, flattened.
    """
    return _bare(shape) == _bare(wanted) or shape == (wanted[0], math.prod(wanted[1:]))


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
