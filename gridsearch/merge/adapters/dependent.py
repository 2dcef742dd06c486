"""The changes that depend on the weight that they change: DoRA.

Each is W' - W, so that a step of strength s gives W + s (W' - W), as ComfyUI reads a strength
(https://github.com/comfyanonymous/ComfyUI, `weight_decompose` in comfy/weight_adapter/base.py). Programs
agree at 0 and at 1; LyCORIS, for one, goes another way between them. All tensors are float32, and W [out, in]
or [out, in, height, width].
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
