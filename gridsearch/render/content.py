"""The gain that a prompt brings a model on a picture: by how much it lowers the model's error.

The picture is encoded, noise is added at a few levels, and the model predicts that noise with the prompt and
without. The error of a prediction bounds the likelihood of the picture, so the difference of the two says how
much likelier the prompt makes it: Li et al. 2023, *Your Diffusion Model is Secretly a Zero-Shot Classifier*;
without the prompt as the base line, Krojer et al. 2023, *Are Diffusion Models Vision-And-Language Reasoners?*
"""

from collections.abc import Sequence

import numpy as np
import torch

from gridsearch.render.cases import Case
from gridsearch.render.decode import encode_picture
from gridsearch.render.denoise.hires import passes
from gridsearch.render.denoise.loop import predicted, size_ids
from gridsearch.render.denoise.noise import CpuRandn, on_device
from gridsearch.render.denoise.noised import levels_at, noised
from gridsearch.render.denoise.prediction import alpha_and_sigma, sampled, sampled_type
from gridsearch.render.denoise.prediction import clean as clean_latents
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import embedded, without_prompt
from gridsearch.render.pipeline import Renderer
from gridsearch.render.placement import in_parts
from gridsearch.render.prompt.encode import stacked

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
    sampling = passes(sampling)[-1].sampling

    def gains(part: slice) -> list[float]:
        return _gains(renderer, pictures[part], cases[part], sampling, levels)

    return in_parts(renderer.batches.size(sampling, batch), len(cases), gains)


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
    clean = torch.cat([encode_picture(renderer.pipe.vae, picture) for picture in pictures]).float()
    sources = [CpuRandn((case.seed + OTHER_NOISE) % 2**64) for case in cases]
    gains = torch.zeros(len(cases), device=unet.device)
    for level in levels_at(renderer.scheduler_config, sampling, levels):
        noise = torch.stack([source.draw(tuple(clean.shape[1:])) for source in sources])
        noise = on_device(noise, unet.device, torch.float32)
        alpha, sigma = alpha_and_sigma(level.noise, sampling.prediction_type)
        x = noised(clean, noise, level, sampling.prediction_type).to(unet.dtype)
        moment = torch.tensor(level.told, device=unet.device)
        output = predicted(unet, torch.cat([x, x]), moment, text, sizes).float()
        given = torch.cat([x, x]).float()
        output = sampled(given, output, level.noise, sampling.prediction_type)
        picture = clean_latents(given, output, level.noise, sampled_type(sampling.prediction_type))
        errors = ((given - alpha * picture) / sigma - torch.cat([noise, noise])).square().mean((1, 2, 3))
        gains += (errors[: len(cases)] - errors[len(cases) :]) / len(levels)
    return gains.tolist()
