"""Cases in, images out: fixed seeds, batches, one picture per case."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from gridsearch.render.cases import Case
from gridsearch.render.encode import Embeddings, encode
from gridsearch.render.pipeline import Renderer
from gridsearch.render.sampling import Sampling
from gridsearch.render.schedulers import scheduler_for


@dataclass(frozen=True)
class Drawn:
    """An image of a case. `pixels` is (H, W, 3) uint8; non-finite values are black and `finite` says so."""

    case: Case
    pixels: np.ndarray
    finite: bool
    seconds: float


@torch.inference_mode()
def draw(renderer: Renderer, cases: Sequence[Case], sampling: Sampling, batch: int) -> Iterator[Drawn]:
    """Draw the cases in order, `batch` at a time.

    An image's noise depends on its seed and size alone: every case has a CPU generator of its own.
    """
    pipe = renderer.pipe
    pipe.scheduler = scheduler_for(sampling, renderer.scheduler_config)
    for start in range(0, len(cases), batch):
        began = time.perf_counter()
        part = cases[start : start + batch]
        images = _draw_batch(pipe, _encoded(renderer, part, sampling.unconditional), part, sampling)
        finite = torch.isfinite(images).flatten(1).all(1)
        pixels = to_uint8(images)
        seconds = (time.perf_counter() - began) / len(part)
        for case, image, is_finite in zip(part, pixels, finite, strict=True):
            yield Drawn(case, image, bool(is_finite), seconds)


def _encoded(renderer: Renderer, cases: Sequence[Case], unconditional: str) -> Embeddings:
    """The cases' embeddings, encoded once for as long as the text encoders stay what they are."""
    what = (tuple((case.text, case.negative) for case in cases), unconditional)
    if what not in renderer.encoded:
        renderer.encoded[what] = encode(renderer.pipe, cases, unconditional)
    return renderer.encoded[what]


def _draw_batch(
    pipe: StableDiffusionXLPipeline, text: Embeddings, cases: Sequence[Case], sampling: Sampling
) -> Tensor:
    latents = pipe(
        prompt_embeds=text.tokens,
        pooled_prompt_embeds=text.pooled,
        negative_prompt_embeds=text.negative_tokens,
        negative_pooled_prompt_embeds=text.negative_pooled,
        generator=[torch.Generator("cpu").manual_seed(case.seed) for case in cases],
        num_inference_steps=sampling.steps,
        guidance_scale=sampling.cfg,
        guidance_rescale=sampling.cfg_rescale,
        width=sampling.width,
        height=sampling.height,
        output_type="latent",
    ).images
    return decode(pipe, latents)


def decode(pipe: StableDiffusionXLPipeline, latents: Tensor) -> Tensor:
    """Latents (N, C, h, w) -> images (N, 3, H, W), 0 black and 1 white, in the precision of the VAE.

    Not clamped: an infinity must stay one until it has been looked for.
    """
    vae = pipe.vae
    latents = latents.to(vae.dtype)
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is not None and std is not None:
        mean, std = (
            torch.tensor(x, device=latents.device, dtype=latents.dtype)[None, :, None, None]
            for x in (mean, std)
        )
        latents = latents * std / vae.config.scaling_factor + mean
    else:
        latents = latents / vae.config.scaling_factor
    return vae.decode(latents, return_dict=False)[0] * 0.5 + 0.5


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, 3, H, W), 0 black and 1 white -> (N, H, W, 3) uint8, rounded as diffusers does; NaN is black."""
    array = images.clamp(0, 1).float().nan_to_num(0).permute(0, 2, 3, 1).cpu().numpy()
    return (array * 255).round().astype(np.uint8)
