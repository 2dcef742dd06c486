"""The denoising loop with its guidance: noise and conditioning in, latents out.

It does not wait for the device: all that a step needs beside the latents is known on the CPU. Only a watcher
that stops images waits, and diffusers' UniPC, which solves its equations on the device.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from diffusers import DPMSolverSDEScheduler, SchedulerMixin, UNet2DConditionModel
from diffusers.models.attention_processor import (
    Attention,
    PAGCFGIdentitySelfAttnProcessor2_0,
    PAGIdentitySelfAttnProcessor2_0,
)
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from torch import Tensor

from gridsearch.render.denoise.noise import Brownian, Noise, on_device
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import follows_a_path, keep_rows, noise_level
from gridsearch.render.prompt.encode import Conditioning
from gridsearch.render.watch import Recorder

PAG_LAYERS = "mid_block"  # where the paper perturbs SDXL


def denoise(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    text: Conditioning,
    seeds: Sequence[int],
    sampling: Sampling,
    downscale: int,
    watcher: Recorder,
) -> Tensor:
    """Denoise the images of these seeds into latents (n, C, h, w), without those that the watcher stopped.

    The arithmetic and its order are those of `StableDiffusionXLPipeline.__call__`, which tests compare with.

    Args:
        scheduler: a new one with its timesteps set; it holds what a sampler remembers between steps.
        text: of all images without their prompts, then with them, then once more for perturbed attention, as
            far as the settings ask for each (`Sampling.inputs`).
        downscale: image pixels per latent pixel.
    """
    shape = (unet.config.in_channels, sampling.height // downscale, sampling.width // downscale)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    batch = _start(unet, scheduler, text, seeds, sampling, shape)
    moments = scheduler.timesteps.to(unet.device)
    with _perturbed_attention(unet, sampling):
        for call, timestep in enumerate(scheduler.timesteps):
            level = noise_level(scheduler, call)
            x = torch.cat([batch.latents] * sampling.inputs)
            x = scheduler.scale_model_input(x, timestep)
            output = _guided(_predict(unet, x, moments[call], batch), sampling)
            watcher.see(call, level, _clean(x[: len(output)].float(), output.float(), level, sampling))
            with batch.noise:
                batch.latents = scheduler.step(
                    output, timestep, batch.latents, **_variance(scheduler, call, batch), return_dict=False
                )[0]
            rows = watcher.kept(call)
            if rows is not None:
                batch.keep(rows, scheduler)
            if not len(batch.latents):
                break
    return batch.latents


@dataclass
class _Batch:
    """The images that are still being rendered."""

    latents: Tensor  # (N, C, h, w)
    noise: Noise
    brownian: Brownian | None
    text: Conditioning
    sizes: Tensor  # (inputs x N, 6), the sizes that SDXL is told of

    def keep(self, rows: Sequence[int], scheduler: SchedulerMixin) -> None:
        """Go on with these rows only."""
        every = range(0, len(self.sizes), len(self.latents))
        inputs = [first + row for first in every for row in rows]
        mask = None if self.text.mask is None else self.text.mask[inputs]
        self.text = Conditioning(self.text.tokens[inputs], self.text.pooled[inputs], mask)
        self.sizes = self.sizes[inputs]
        self.latents = self.latents[rows]
        self.noise.keep(rows)
        if self.brownian:
            self.brownian.keep(rows)
        keep_rows(scheduler, rows)


def _start(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    text: Conditioning,
    seeds: Sequence[int],
    sampling: Sampling,
    shape: tuple[int, ...],
) -> _Batch:
    noise = Noise(seeds, sampling.rng)
    latents = on_device(noise.draw(shape), unet.device, unet.dtype) * scheduler.init_noise_sigma
    brownian = None
    if follows_a_path(scheduler):
        positive = scheduler.sigmas[scheduler.sigmas > 0]
        levels = (positive.min().item(), positive.max().item())
        brownian = scheduler.noise_sampler = Brownian(seeds, sampling.rng, shape, levels, latents)
    sizes = (  # in the order that SDXL was trained with (Podell et al. 2023, section 2.2)
        *(sampling.original_height, sampling.original_width),
        *(sampling.crop_top, sampling.crop_left),
        *(sampling.target_height, sampling.target_width),
    )
    told = torch.tensor([sizes], device=unet.device, dtype=unet.dtype).repeat(len(text.tokens), 1)
    return _Batch(latents, noise, brownian, text, told)


def _variance(scheduler: SchedulerMixin, call: int, batch: _Batch) -> dict[str, Tensor]:
    """Return the noise of a step for DPM++ 2M SDE, which does not ask for it as DPM++ SDE does."""
    if batch.brownian is None or isinstance(scheduler, DPMSolverSDEScheduler):
        return {}
    level, following = scheduler.sigmas[call], scheduler.sigmas[call + 1]
    if following > 0:
        return {"variance_noise": batch.brownian(level, following)}
    return {"variance_noise": torch.zeros_like(batch.latents)}  # the last step adds none


def _predict(unet: UNet2DConditionModel, x: Tensor, moment: Tensor, batch: _Batch) -> Tensor:
    return unet(
        x,
        moment,
        encoder_hidden_states=batch.text.tokens,
        encoder_attention_mask=batch.text.mask,
        added_cond_kwargs={"text_embeds": batch.text.pooled, "time_ids": batch.sizes},
        return_dict=False,
    )[0]


def _guided(output: Tensor, sampling: Sampling) -> Tensor:
    """Combine the outputs (inputs x N, C, h, w), ordered without, with, perturbed, into (N, C, h, w).

    Classifier-free guidance (Ho & Salimans 2022), perturbed-attention guidance (Ahn et al. 2024, eq. 13) and
    the rescaling of an over-exposed result (Lin et al. 2023, section 3.4).
    """
    parts = list(output.chunk(sampling.inputs))
    without = parts.pop(0) if sampling.is_guided else None
    with_prompt = result = parts.pop(0)
    if without is not None:
        result = without + sampling.cfg * (with_prompt - without)
    if parts:
        result = result + sampling.pag_scale * (with_prompt - parts[0])
    if without is not None and sampling.cfg_rescale > 0:
        result = rescale_noise_cfg(result, with_prompt, guidance_rescale=sampling.cfg_rescale)
    return result


@contextlib.contextmanager
def _perturbed_attention(unet: UNet2DConditionModel, sampling: Sampling) -> Iterator[None]:
    """Use diffusers' attention for PAG in the middle block while a batch is denoised."""
    kind = PAGCFGIdentitySelfAttnProcessor2_0 if sampling.is_guided else PAGIdentitySelfAttnProcessor2_0
    perturbing = kind()
    layers = {
        module: module.processor
        for name, module in unet.named_modules()
        if sampling.pag_scale > 0
        and name.startswith(PAG_LAYERS)
        and isinstance(module, Attention)
        and not module.is_cross_attention
    }
    try:
        for layer in layers:
            layer.processor = perturbing
        yield
    finally:
        for layer, own in layers.items():
            layer.processor = own


def _clean(x: Tensor, output: Tensor, level: float, sampling: Sampling) -> Tensor:
    """Return the clean latents x0 that the output stands for, as x = alpha x0 + sigma noise.

    There alpha^2 + sigma^2 = 1. For v, see Salimans & Ho (2022), appendix D.
    """
    alpha = (1 + level**2) ** -0.5
    sigma = level * alpha
    if sampling.prediction_type == "v_prediction":
        return alpha * x - sigma * output
    return (x - sigma * output) / alpha
