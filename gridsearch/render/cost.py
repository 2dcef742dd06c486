"""An estimate of the time per image, from the arithmetic of a UNet call and the speed of this machine."""

import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from gridsearch.render.denoise.guidance import calls_of
from gridsearch.render.denoise.samplers import SAMPLERS
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.placement import placement

# Small operations cost their overhead rather than their arithmetic: measured with the toy on a CPU.
# No network reaches the speed of one large matrix product: SDXL in float16 on an H200 reached 0.44 of it.
SECONDS_PER_MODULE = 40e-6
SHARE_OF_PEAK = 0.4


def seconds_per_image(config: Path, sampling: Sampling, batch: int, device: str, dtype: str) -> float:
    """Return a rough estimate of the seconds per image in such a batch; nothing is loaded or rendered."""
    place = placement(device, dtype)
    flops, modules = unet_call(config, sampling.width, sampling.height)
    calls = SAMPLERS[sampling.sampler].calls(sampling.steps)
    speed = SHARE_OF_PEAK * matmul_speed(place.device, place.dtype)
    arithmetic = calls * calls_of(sampling) * flops / speed
    overhead = calls * modules * SECONDS_PER_MODULE / batch
    # a GPU computes while the CPU prepares the next operation
    return max(arithmetic, overhead) if place.device == "cuda" else arithmetic + overhead


def unet_call(config: Path, width: int, height: int) -> tuple[int, int]:
    """Return the floating-point operations of one UNet call on one image, and its number of modules."""
    settings = UNet2DConditionModel.load_config(config / "unet")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(settings)
        pooled = settings["projection_class_embeddings_input_dim"] - 6 * settings["addition_time_embed_dim"]
        inputs = {
            "sample": torch.empty(1, settings["in_channels"], height // 8, width // 8),
            "timestep": torch.zeros(1),
            "encoder_hidden_states": torch.empty(1, 77, settings["cross_attention_dim"]),
            "added_cond_kwargs": {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)},
        }
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(**inputs)
    return counter.get_total_flops(), sum(1 for _ in unet.modules())


def matmul_speed(device: str, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a matrix product, the best of a few."""
    size = 8192 if device == "cuda" else 1024  # a small one would measure how long a GPU takes to start
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        (matrix @ matrix).sum().item()  # .item() waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
