"""FreeU (Si et al. 2024, arXiv:2309.11497): the UNet's backbone strengthened, and its skips weakened."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from gridsearch.render.denoise.sampling import Sampling


@contextlib.contextmanager
def freeu(unet: UNet2DConditionModel, sampling: Sampling) -> Iterator[None]:
    """Weight the inputs of the layers on the way up, while a batch is denoised.

    A layer belongs to the stage that its backbone comes from, as in the authors' code and web UIs, which ask
    for its channels. (diffusers asks for the block that it is in, one more for the first layer of each.)
    """
    weights = ((sampling.freeu_b1, sampling.freeu_s1), (sampling.freeu_b2, sampling.freeu_s2))
    hooks = []
    for number, block in enumerate(unet.up_blocks if any(pair != (1, 1) for pair in weights) else ()):
        for layer, resnet in enumerate(block.resnets):
            stage = max(number - (layer == 0), 0)
            if stage < len(weights):
                width = unet.config.block_out_channels[-1 - stage]
                hook = partial(_weighted, width, *weights[stage], sampling.freeu_version)
                hooks.append(resnet.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def _weighted(
    width: int, backbone: float, skip: float, version: int, _: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return a layer's arguments with the weights done; its first holds backbone and skip connection."""
    x, *others = args
    parts = strengthened(x[:, :width], backbone, version), with_low_frequencies(x[:, width:], skip)
    return (torch.cat(parts, dim=1), *others)


def strengthened(x: Tensor, weight: float, version: int) -> Tensor:
    """Multiply the first half of the channels of (N, C, h, w) by the weight.

    In version 2 it is by 1 where the mean over the channels is least, and by the weight where it is greatest.
    """
    factor: Tensor | float = weight
    if version == 2:
        mean = x.mean(dim=1, keepdim=True)
        least, most = mean.amin(dim=(2, 3), keepdim=True), mean.amax(dim=(2, 3), keepdim=True)
        spread = (most - least).clamp(min=torch.finfo(x.dtype).tiny)
        factor = 1 + (weight - 1) * (mean - least) / spread
    half = x.shape[1] // 2
    return torch.cat((x[:, :half] * factor, x[:, half:]), dim=1)


def with_low_frequencies(x: Tensor, weight: float) -> Tensor:
    """Multiply the frequencies 0 and -1 of each axis of (N, C, h, w); in float32, rounded once."""
    spectrum = torch.fft.fft2(x.float())
    for row in (0, -1):
        for column in (0, -1):
            spectrum[..., row, column] *= weight
    return torch.fft.ifft2(spectrum).real.to(x.dtype)
