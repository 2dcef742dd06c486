"""Gaussian blur of images and of maps of queries, as products with a matrix for each axis."""

import functools

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

INFINITE = 10_000.0  # a sigma from which on all is mean, as in https://github.com/SusungHong/SEG-SDXL (9999)


def blurred(images: Tensor, sigma: float, width: int | None = None) -> Tensor:
    """Blur images (..., h, w), reflected at their edges.

    Args:
        sigma: in pixels; from `INFINITE` on the result is the mean.
        width: of the kernel, an odd number; None for six sigma. It is at most what reflects once.
    """
    if sigma >= INFINITE:
        return images.mean(dim=(-2, -1), keepdim=True).expand_as(images)
    down, across = (blurring(side, sigma, width, images.device, images.dtype) for side in images.shape[-2:])
    return down @ images @ across.mT


@functools.lru_cache(maxsize=64)
def blurring(side: int, sigma: float, width: int | None, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the matrix (side, side) that blurs a column of so many pixels; see `blurred`."""
    reach = min(width or int(-(-6 * sigma // 1)) | 1, side | 1) // 2
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    columns = pad(torch.eye(side)[:, None], (reach, reach), mode="reflect")
    return conv1d(columns, (kernel / kernel.sum())[None, None])[:, 0].mT.to(device, dtype)
