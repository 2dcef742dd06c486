"""Decoding latents into pixels, in the memory that is free, and in float32 where half precision overflows."""

import copy

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from gridsearch.render.batch import is_out_of_memory

TILE = 64  # latents, 512 px: SDXL's VAE itself would not cut an image of 1024 px


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents (N, C, h, w) -> images (N, 3, H, W), 0 black and 1 white, in the precision of the VAE.

    The values are not clamped, so that infinities can still be found. Where memory is short, the batch is
    halved, and a single image is decoded in overlapping tiles. Images that overflow half precision are
    decoded again in float32.
    """
    latents = _unscaled(vae, latents.to(vae.dtype))
    images = _in_memory(vae, latents)
    if vae.dtype == torch.float16:
        overflowed = finite_rows(latents) & ~finite_rows(images)
        if overflowed.any():
            images = images.float()
            images[overflowed] = _in_memory(copy.deepcopy(vae).float(), latents[overflowed].float())
    return images * 0.5 + 0.5


def _unscaled(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        return latents / vae.config.scaling_factor
    mean, std = (
        torch.tensor(x, device=latents.device, dtype=latents.dtype)[None, :, None, None] for x in (mean, std)
    )
    return latents * std / vae.config.scaling_factor + mean


def _in_memory(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    try:
        return vae.decode(latents, return_dict=False)[0]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()
    if len(latents) > 1:
        return torch.cat([_in_memory(vae, half) for half in latents.tensor_split(2)])
    return _in_tiles(vae, latents)


def _in_tiles(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decode one image in overlapping tiles, and restore the VAE's settings: the next may fit whole."""
    before = vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size
    scale = vae.tile_sample_min_size // vae.tile_latent_min_size
    size = min(TILE, vae.tile_latent_min_size)
    vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = True, size, size * scale
    try:
        return vae.decode(latents, return_dict=False)[0]
    finally:
        vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = before


def finite_rows(tensor: Tensor) -> Tensor:
    """Return which rows are finite throughout: (N, ...) -> (N,) bool."""
    return torch.isfinite(tensor).flatten(1).all(1)


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, 3, H, W), 0 black and 1 white -> (N, H, W, 3) uint8, rounded as diffusers does; NaN is black."""
    array = images.clamp(0, 1).float().nan_to_num(0).permute(0, 2, 3, 1).cpu().numpy()
    return (array * 255).round().astype(np.uint8)
