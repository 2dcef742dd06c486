"""The gain that a prompt brings a model on a picture: by how much it lowers the model's error.

The picture is encoded, noise is added at a few levels, and the model predicts that noise with the prompt and
without. The error of a prediction bounds the likelihood of the picture, so the difference of the two says how
much likelier the prompt makes it: Li et al. 2023, *Your Diffusion Model is Secretly a Zero-Shot Classifier*;
without the prompt as the base line, Krojer et al. 2023, *Are Diffusion Models Vision-And-Language Reasoners?*
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from gridsearch.checkpoint.prediction import FLOW
from gridsearch.render.cases import Case
from gridsearch.render.decode import encode_picture
from gridsearch.render.denoise.flow import TIMESTEPS
from gridsearch.render.denoise.loop import predicted, size_ids
from gridsearch.render.denoise.noise import CpuRandn, on_device
from gridsearch.render.denoise.prediction import alpha_and_sigma, sampled, sampled_type
from gridsearch.render.denoise.prediction import clean as clean_latents
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import LEAST_ALPHA_BAR
from gridsearch.render.draw import embedded, without_prompt
from gridsearch.render.pipeline import Renderer
from gridsearch.render.placement import is_out_of_memory
from gridsearch.render.prompt.encode import stacked

BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
OTHER_NOISE = 2**32  # beyond the seeds of web UIs: not the noise from which the picture was drawn


@torch.inference_mode()
def prompt_gains(
    renderer: Renderer,
    pictures: Sequence[np.ndarray],
    cases: Sequence[Case],
    sampling: Sampling,
    levels: Sequence[int],
    batch: int | None = None,
) -> list[float]:
    """Return, for each picture, the mean squared error without its prompt less that with it.

    Positive where the model finds in the picture what its prompt says; nan where a value is not finite. The
    errors are of the noise, whose variance is 1, also where the model predicts v. The noise follows from the
    case, so the same picture gets the same number in any batch.

    Args:
        pictures: uint8 (H, W, 3), of one size.
        sampling: how the model itself draws; its prediction type decides what its output means.
        levels: timesteps, 0 to 999, at each of which noise is added once.
        batch: pictures per call; None for as many as fit.
    Raises:
        torch.OutOfMemoryError: not even one picture fits.
    """
    gains: list[float] = []
    size = renderer.batches.size(sampling, batch)
    while len(gains) < len(cases):
        part = slice(len(gains), len(gains) + size)
        try:
            found = _gains(renderer, pictures[part], cases[part], sampling, levels)
        except RuntimeError as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            found = []
        if not found:  # not within `except`, where the error still holds what the batch took
            torch.cuda.empty_cache()
            size = (min(size, len(cases)) + 1) // 2
        gains += found
    return gains


def _gains(
    renderer: Renderer,
    pictures: Sequence[np.ndarray],
    cases: Sequence[Case],
    sampling: Sampling,
    levels: Sequence[int],
) -> list[float]:
    unet = renderer.pipe.unet
    prompts = [embedded(renderer, case.text, sampling) for case in cases]
    without = [without_prompt(renderer, "", prompt, sampling) for prompt in prompts]
    text = stacked([*without, *prompts])
    sizes = size_ids(unet, sampling, len(text.tokens))
    noises = _levels(renderer.scheduler_config, sampling)
    clean = torch.cat([encode_picture(renderer.pipe.vae, picture) for picture in pictures]).float()
    sources = [CpuRandn((case.seed + OTHER_NOISE) % 2**64) for case in cases]
    gains = torch.zeros(len(cases), device=unet.device)
    for level in levels:
        noise = torch.stack([source.draw(tuple(clean.shape[1:])) for source in sources])
        noise = on_device(noise, unet.device, torch.float32)
        amount = float(noises[level])
        alpha, sigma = alpha_and_sigma(amount, sampling.prediction_type)
        x = (alpha * clean + sigma * noise).to(unet.dtype)
        told = TIMESTEPS * sigma if sampling.prediction_type == FLOW else level
        moment = torch.tensor(told, device=unet.device)
        output = predicted(unet, torch.cat([x, x]), moment, text, sizes).float()
        given = torch.cat([x, x]).float()
        output = sampled(given, output, amount, sampling.prediction_type)
        picture = clean_latents(given, output, amount, sampled_type(sampling.prediction_type))
        errors = ((given - alpha * picture) / sigma - torch.cat([noise, noise])).square().mean((1, 2, 3))
        gains += (errors[: len(cases)] - errors[len(cases) :]) / len(levels)
    return gains.tolist()


def _levels(config: Mapping[str, Any], sampling: Sampling) -> Tensor:
    """Return the noise level sigma / alpha of each timestep, as the model was trained, (1000,).

    A rectified flow has the levels of the other models, so that its gains can be averaged with theirs.
    """
    known = {key: config[key] for key in BETAS if key in config}
    scheduler = DDIMScheduler(**known, rescale_betas_zero_snr=sampling.zero_terminal_snr)
    signal = scheduler.alphas_cumprod.double().clamp(min=LEAST_ALPHA_BAR)
    return ((1 - signal) / signal).sqrt()
