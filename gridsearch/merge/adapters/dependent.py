"""The changes that depend on the weight that they change: DoRA, GLoRA and (IA)^3.

Each, and each of `rotations`, is W' - W, so that a step of strength s gives W + s (W' - W). That is how
ComfyUI reads a strength (https://github.com/comfyanonymous/ComfyUI, `weight_decompose` in
comfy/weight_adapter/base.py). Programs agree at 0 and at 1; LyCORIS, for one, goes another way between them.
All tensors are float32, and W [out, in] or [out, in, height, width].
"""

import torch
from torch import Tensor

OUTPUT, INPUT = 0, 1  # the axes of a weight


def dora(base: Tensor, change: Tensor, magnitude: Tensor, axis: int) -> Tensor:
    """Return m (W + change) / ||W + change|| - W, where the norm and m are those of each output or input.

    Liu et al. 2024, https://arxiv.org/abs/2402.09353, equation 5. The paper, PEFT and later versions of
    LyCORIS take the norm of each output (a row of W); OneTrainer and earlier versions, by default, of each
    input. A row of zeros stays one.

    Args:
        change: that of the LoRA (or LoHa, LoKr), scaled by alpha over rank.
        magnitude: m, of as many elements as W has outputs or inputs.
        axis: `OUTPUT` or `INPUT`, whose norms are taken.
    """
    moved = base + change.reshape(base.shape)
    others = [other for other in range(base.ndim) if other != axis]
    norms = torch.linalg.vector_norm(moved, dim=others, keepdim=True)
    share = magnitude.reshape(norms.shape) / norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return moved.mul_(share).sub_(base)


def glora(base: Tensor, a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    """Return W a1 a2 + b1 b2; a1 [in, r], a2 [r, in], b1 [out, r], b2 [r, in] or that of a convolution.

    Chavan et al. 2023, https://arxiv.org/abs/2306.07967; the factors are those of LyCORIS. Its first files
    have them the other way round: a2 a1 and b2 b1.
    """
    a1, a2 = a1.flatten(1), a2.flatten(1)
    if a1.shape[0] != base.shape[1]:
        a1, a2, b1, b2 = a2, a1, b2, b1
    added = b1.flatten(1) @ b2.flatten(1)
    return torch.einsum("oi...,ij,jk->ok...", base, a1, a2) + added.reshape(base.shape)


def ia3(base: Tensor, factors: Tensor, axis: int) -> Tensor:
    """Return W times a factor of each output or input, as LyCORIS has them: around zero, of the change.

    Liu et al. 2022, https://arxiv.org/abs/2205.05638.
    """
    if factors.numel() != base.shape[axis]:
        raise ValueError(f"{factors.numel()} factors of {base.shape[axis]} outputs or inputs")
    return base * factors.reshape([-1 if at == axis else 1 for at in range(base.ndim)])


def ia3_of_peft(base: Tensor, ia3_l: Tensor, axis: int) -> Tensor:
    """Return `ia3` with PEFT's factors: around one, of the weight."""
    return ia3(base, ia3_l - 1, axis)


def ia3_of_bias(base: Tensor, ia3_l: Tensor, axis: int) -> Tensor:
    """Return what PEFT's (IA)^3 does to a bias: nothing, where the factors are those of the inputs."""
    return ia3_of_peft(base, ia3_l, axis) if axis == OUTPUT else torch.zeros_like(base)
