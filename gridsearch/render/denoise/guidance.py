"""Guidance: combining the UNet's outputs with the prompt, without it, and with perturbed attention."""

import contextlib
from collections.abc import Iterator

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import (
    Attention,
    PAGCFGIdentitySelfAttnProcessor2_0,
    PAGIdentitySelfAttnProcessor2_0,
)
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from torch import Tensor

from gridsearch.render.denoise.sampling import Sampling, calls_of, is_guided

PAG_LAYERS = "mid_block"  # where the paper perturbs SDXL


def guided(output: Tensor, sampling: Sampling) -> Tensor:
    """Combine the outputs (`calls_of` x N, C, h, w), ordered without, with, perturbed, into (N, C, h, w).

    Classifier-free guidance (Ho & Salimans 2022), perturbed-attention guidance (Ahn et al. 2024, eq. 13) and
    the rescaling of an over-exposed result (Lin et al. 2023, section 3.4).
    """
    parts = list(output.chunk(calls_of(sampling)))
    without = parts.pop(0) if is_guided(sampling) else None
    with_prompt = result = parts.pop(0)
    if without is not None:
        result = without + sampling.cfg * (with_prompt - without)
    if parts:
        result = result + sampling.pag_scale * (with_prompt - parts[0])
    if without is not None and sampling.cfg_rescale > 0:
        result = rescale_noise_cfg(result, with_prompt, guidance_rescale=sampling.cfg_rescale)
    return result


@contextlib.contextmanager
def perturbed_attention(unet: UNet2DConditionModel, sampling: Sampling) -> Iterator[None]:
    """Use diffusers' attention for PAG in the middle block while a batch is denoised."""
    if sampling.pag_scale <= 0:
        yield
        return
    guided = is_guided(sampling)
    processor = PAGCFGIdentitySelfAttnProcessor2_0() if guided else PAGIdentitySelfAttnProcessor2_0()
    layers = [
        module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and not module.is_cross_attention and name.startswith(PAG_LAYERS)
    ]
    before = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.processor = processor
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.processor = own
