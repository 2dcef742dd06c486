"""Models of a few random weights, with the keys of SDXL's parts."""

import torch

from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.sdxl.family import CLIP_L_MODEL

KEYS = {
    "te1": f"{CLIP_L_MODEL}final_layer_norm.weight",
    "time": f"{UNET}time_embed.0.weight",
    "IN04": f"{UNET}input_blocks.4.1.proj_in.weight",
    "M00": f"{UNET}middle_block.1.proj_in.weight",
    "OUT08": f"{UNET}out.2.weight",
    "vae": f"{VAE}decoder.conv_in.weight",
}


def weights(seed: int, size=64, spread=1.0, dtype=torch.float16) -> dict[str, torch.Tensor]:
    """Random weights, a model's own; with another `spread`, a change that training may have made."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(size, size, generator=generator).mul(0.03 * spread).to(dtype)
        for key in KEYS.values()
    }


def tuned(base, seed: int, spread=0.1):
    change = weights(seed, len(next(iter(base.values()))), spread, torch.float32)
    return {key: (value.float() + change[key]).to(value.dtype) for key, value in base.items()}
