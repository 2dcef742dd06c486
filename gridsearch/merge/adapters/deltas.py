"""The change of one weight at strength one, from the parts of an adapter's module.

Convolutions are [out, in, height, width]; r is the rank. Each but VeRA's is scaled by alpha / r, see `scale`.
"""

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


def vera(
    vera_lambda_b: Tensor, vera_lambda_d: Tensor, vera_A: Tensor, vera_B: Tensor, shape: tuple[int, int]
) -> Tensor:
    """diag(b) B diag(d) A, of which B [most outputs, r] and A [r, most inputs] are those of all modules.

    Kopiczko et al. 2023, https://arxiv.org/abs/2310.11454. A module takes as many of their first rows and
    columns as its weight of shape `shape` has.
    """
    outputs, inputs = shape
    if len(vera_lambda_b) != outputs or len(vera_lambda_d) != len(vera_A):  # or they would be broadcast
        raise ValueError(f"{len(vera_lambda_b)} and {len(vera_lambda_d)} factors")
    return (vera_lambda_b[:, None] * vera_B[:outputs]) @ (vera_lambda_d[:, None] * vera_A[:, :inputs])
