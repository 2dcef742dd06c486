"""Previews of latents by a linear map, which costs next to nothing compared with decoding."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from gridsearch.render.decode import decode

FRAME = 96  # px, the height of a frame of a film strip
SAMPLES, SIDE, COARSE = 4, 32, 4  # latents that the map is fitted to: smooth ones, like pictures


def rgb_map(vae: AutoencoderKL) -> Tensor:
    """Return the linear map from a latent's channels to RGB that best approximates this VAE: (C + 1, 3).

    It is fitted by least squares to smooth random latents and their decoded images, averaged over the pixels
    of each latent; the last row is the constant. So it works for any VAE, fixed or fine-tuned.
    """
    channels = vae.config.latent_channels
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((SAMPLES, channels, COARSE, COARSE), generator=generator)
    latents = functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").to(vae.device)
    images = decode(vae, latents).float().clamp(0, 1).nan_to_num(0)
    colours = functional.interpolate(images, (SIDE, SIDE), mode="area")
    solved = torch.linalg.lstsq(_pixels(latents).cpu(), colours.movedim(1, -1).reshape(-1, 3).cpu())
    return solved.solution


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
    flat = latents.movedim(1, -1).flatten(0, 2)
    return functional.pad(flat, (0, 1), value=1.0)
