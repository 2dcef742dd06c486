"""An estimate of the time per image, from the arithmetic of a UNet call and the speed of this machine."""

import time
from collections.abc import Mapping

import torch

from gridsearch.checkpoint.sdxl.arithmetic import unet_call
from gridsearch.render.denoise.samplers import SAMPLERS
from gridsearch.render.denoise.sampling import Sampling, calls_of
from gridsearch.render.placement import placement

# Small operations cost their overhead rather than their arithmetic: measured with the toy on a CPU.
# No network reaches the speed of one large matrix product: SDXL in float16 on an H200 reached 0.44 of it.
SECONDS_PER_LAYER = 73e-6
SHARE_OF_PEAK = 0.4


def seconds_per_image(
    shapes: Mapping[str, tuple[int, ...]], sampling: Sampling, batch: int, device: str, dtype: str
) -> float:
    """Return a rough estimate of the seconds per image in such a batch; nothing is loaded or rendered.

    Args:
        shapes: the checkpoint's keys and the shapes of their tensors.
    """
    place = placement(device, dtype)
    flops, layers = unet_call(shapes, sampling.width, sampling.height)
    calls = SAMPLERS[sampling.sampler].calls(sampling.steps)
    speed = SHARE_OF_PEAK * matmul_speed(place.device, place.dtype)
    arithmetic = calls * calls_of(sampling) * flops / speed
    overhead = calls * layers * SECONDS_PER_LAYER / batch
    # a GPU computes while the CPU prepares the next operation
    return max(arithmetic, overhead) if place.device == "cuda" else arithmetic + overhead


def matmul_speed(device: str, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a matrix product, the best of a few."""
    size = 8192 if device == "cuda" else 1024  # a small one would measure how long a GPU takes to start
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        (matrix @ matrix).sum().item()  # .item() waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
