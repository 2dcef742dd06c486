"""Latents into pixels and back, in the memory that is free; previews by a linear map."""

import contextlib
import copy
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from gridsearch.checkpoint.ldm.shapes import LATENT_SIDE
from gridsearch.render.denoise.hires import OF_LATENTS, OF_PICTURES
from gridsearch.render.placement import is_out_of_memory

TILE = 64  # latents, 512 px: SDXL's VAE itself would not cut an image of 1024 px


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents (N, C, h, w) -> images (N, 3, H, W), 0 black and 1 white, in the precision of the VAE.

    The values are not clamped, so that infinities can still be found. Where memory is short, the batch is
    halved, and a single image is decoded in overlapping tiles. Images that overflow half precision are
    decoded again in float32.
    """
    latents = latents.to(vae.dtype)
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        latents = latents / vae.config.scaling_factor
    else:
        mean, std = (latents.new_tensor(x)[None, :, None, None] for x in (mean, std))
        latents = latents * std / vae.config.scaling_factor + mean
    images = _in_memory(vae, latents)
    if vae.dtype == torch.float16:
        overflowed = finite_rows(latents) & ~finite_rows(images)
        if overflowed.any():
            images = images.float()
            images[overflowed] = _in_memory(copy.deepcopy(vae).float(), latents[overflowed].float())
    return images * 0.5 + 0.5


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
    """Decode one image in overlapping tiles."""
    with _tiling(vae):
        return vae.decode(latents, return_dict=False)[0]


@contextlib.contextmanager
def _tiling(vae: AutoencoderKL) -> Iterator[None]:
    """Let a VAE cut what it is given into tiles, and restore its settings: the next may fit whole."""
    before = vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size
    scale = vae.tile_sample_min_size // vae.tile_latent_min_size
    size = min(TILE, vae.tile_latent_min_size)
    vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = True, size, size * scale
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size = before


def encode_picture(vae: AutoencoderKL, picture: np.ndarray) -> Tensor:
    """A picture, uint8 (H, W, 3) -> its latents (1, C, h, w) as `decode` takes them."""
    pixels = torch.tensor(picture, device=vae.device).movedim(2, 0)[None].to(vae.dtype) / 127.5 - 1
    try:
        latents = vae.encode(pixels).latent_dist.mode()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        with _tiling(vae):
            latents = vae.encode(pixels).latent_dist.mode()
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        return latents * vae.config.scaling_factor
    mean, std = (latents.new_tensor(x)[None, :, None, None] for x in (mean, std))
    return (latents - mean) * vae.config.scaling_factor / std


def enlarged(vae: AutoencoderKL, latents: Tensor, upscaler: str, width: int, height: int) -> Tensor:
    """Return latents (N, C, h, w) of pictures of another size, in px; those that are not finite stay so."""
    if upscaler in OF_LATENTS:
        mode, antialiased = OF_LATENTS[upscaler]
        size = (height // LATENT_SIDE, width // LATENT_SIDE)
        return functional.interpolate(latents, size, mode=mode, antialias=antialiased)
    images, resampling = decode(vae, latents), Image.Resampling[OF_PICTURES[upscaler]]
    resized = [
        np.asarray(Image.fromarray(one).resize((width, height), resampling)) for one in to_uint8(images)
    ]
    large = torch.cat([encode_picture(vae, one) for one in resized]).float()
    large[~finite_rows(images)] = float("nan")
    return large


def finite_rows(tensor: Tensor) -> Tensor:
    """Return which rows are finite throughout: (N, ...) -> (N,) bool."""
    return torch.isfinite(tensor).flatten(1).all(1)


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, 3, H, W), 0 black and 1 white -> (N, H, W, 3) uint8, rounded as diffusers does; NaN is black."""
    array = images.clamp(0, 1).float().nan_to_num(0).permute(0, 2, 3, 1).cpu().numpy()
    return (array * 255).round().astype(np.uint8)


# -- previews, which cost next to nothing compared with decoding

FRAME = 96  # px, the height of a frame of a film strip
SAMPLES, SIDE, COARSE = 4, 32, 4  # latents that the map is fitted to: smooth ones, like pictures


def rgb_map(vae: AutoencoderKL) -> Tensor:
    """Return the linear map from a latent's channels to RGB that best approximates this VAE: (C + 1, 3).

    It is fitted by least squares to smooth random latents and their decoded images, averaged over the pixels
    of each latent; the last row is the constant. So it works for any VAE, fixed or fine-tuned.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((SAMPLES, vae.config.latent_channels, COARSE, COARSE), generator=generator)
    latents = functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").to(vae.device)
    images = decode(vae, latents).float().clamp(0, 1).nan_to_num(0)
    colours = functional.interpolate(images, (SIDE, SIDE), mode="area")
    return torch.linalg.lstsq(_pixels(latents).cpu(), colours.movedim(1, -1).reshape(-1, 3).cpu()).solution


def preview(latents: Tensor, mapping: Tensor) -> np.ndarray:
    """Return latents (N, C, h, w) as pictures (N, h, w, 3) uint8; values that are not finite are black."""
    n, _, height, width = latents.shape
    colours = (_pixels(latents.float()) @ mapping.to(latents.device)).clamp(0, 1).nan_to_num(0)
    return (colours * 255).round().byte().reshape(n, height, width, 3).cpu().numpy()


def film(frames: np.ndarray) -> np.ndarray:
    """Return pictures (n, h, w, 3) side by side, enlarged to a height of FRAME: (FRAME, W, 3) uint8."""
    _, height, width, _ = frames.shape
    size = (max(1, round(FRAME * width / height)), FRAME)
    return np.concatenate([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames], axis=1)


def _pixels(latents: Tensor) -> Tensor:
    """Return latents (N, C, h, w) as rows (N x h x w, C + 1), with a one for the constant."""
    return functional.pad(latents.movedim(1, -1).flatten(0, 2), (0, 1), value=1.0)
