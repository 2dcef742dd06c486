"""Clean latents with noise added, the clean ones that the UNet finds in them, and how far off these are.

Every function can be differentiated, by the UNet's weights too; whoever needs no gradient says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from gridsearch.checkpoint.prediction import FLOW
from gridsearch.render.denoise.flow import TIMESTEPS
from gridsearch.render.denoise.guidance.attention import guided_attention
from gridsearch.render.denoise.guidance.combine import guided
from gridsearch.render.denoise.guidance.freeu import freeu
from gridsearch.render.denoise.loop import branch_outputs
from gridsearch.render.denoise.prediction import alpha_and_sigma, clean, sampled_type
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import LEAST_ALPHA_BAR
from gridsearch.render.prompt.encode import Conditioning

BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")


@dataclass(frozen=True)
class Level:
    """A noise level, and the timestep by which the UNet knows it."""

    noise: float  # sigma / alpha
    told: float  # 0 to 1000; of a flow it need not be whole


def levels_at(config: Mapping[str, Any], sampling: Sampling, timesteps: Sequence[int]) -> list[Level]:
    """Return the noise levels of timesteps, 0 to 999, as a model was trained.

    A rectified flow has the levels of the other models, so that figures of both can be compared.

    Args:
        config: of the model's scheduler: its betas and their number.
    """
    known = {key: config[key] for key in BETAS if key in config}
    scheduler = DDIMScheduler(**known, rescale_betas_zero_snr=sampling.zero_terminal_snr)
    signal = scheduler.alphas_cumprod.double().clamp(min=LEAST_ALPHA_BAR)
    noises = [float(((1 - signal[one]) / signal[one]).sqrt()) for one in timesteps]
    if sampling.prediction_type != FLOW:
        return [Level(noise, one) for noise, one in zip(noises, timesteps, strict=True)]
    return [Level(noise, TIMESTEPS * alpha_and_sigma(noise, FLOW)[1]) for noise in noises]


def noised(latents: Tensor, noise: Tensor, at: Level, prediction_type: str) -> Tensor:
    """Return alpha latents + sigma noise, for noise (N, C, h, w) of variance 1."""
    alpha, sigma = alpha_and_sigma(at.noise, prediction_type)
    return alpha * latents + sigma * noise


def guided_clean(
    unet: UNet2DConditionModel, x: Tensor, at: Level, text: Conditioning, sizes: Tensor, sampling: Sampling
) -> Tensor:
    """Return the clean latents (N, C, h, w) that the UNet finds in x with the guidance of the settings.

    They are what the first step of a sampler that starts from x would take for x0, in float32.

    Args:
        x: latents (N, C, h, w) of the level, as `noised` returns them.
        text, sizes: of all N for the first of their branches, then of all for the second, and so on.
        sampling: guidance, and the prediction type that says what the UNet's output means.
    """
    x = x.to(unet.dtype)
    goes_on = replace(sampling, prediction_type=sampled_type(sampling.prediction_type))
    moment = torch.tensor(at.told, device=x.device)
    with guided_attention(unet, sampling, (x.shape[2], x.shape[3])) as layers, freeu(unet, sampling):
        outputs = branch_outputs(unet, x, at.noise, moment, text, sizes, sampling, layers)
    output = guided(outputs, x, at.noise, goes_on)
    return clean(x.float(), output.float(), at.noise, goes_on.prediction_type)


def relative_error(found: Tensor, latents: Tensor) -> Tensor:
    """Return the mean squared error of each image (N,), as a share of the variance of its true latents.

    0 is the truth itself; 1 is as far off as one flat colour, the mean of each channel.
    """
    errors = (found - latents).square().mean((1, 2, 3))
    return errors / latents.var((2, 3), correction=0).mean(1)


def relative_spread(found: Tensor, latents: Tensor) -> Tensor:
    """Return the standard deviation over the places of each image (N,), as a share of its true latents'.

    Below 1 it is paler than the truth, over 1 stronger.
    """
    return (found.var((2, 3), correction=0).mean(1) / latents.var((2, 3), correction=0).mean(1)).sqrt()
