"""The denoising loop: noise and conditioning in, latents out.

It does not wait for the device: all that a step needs beside the latents is known on the CPU. Only a watcher
that stops images waits, and diffusers' UniPC, which solves its equations on the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import DPMSolverSDEScheduler, SchedulerMixin, UNet2DConditionModel
from torch import Tensor

from gridsearch.render.denoise.guidance import guided, perturbed_attention
from gridsearch.render.denoise.noise import Brownian, Noise, on_device
from gridsearch.render.denoise.sampling import MODES, Sampling, calls_of
from gridsearch.render.denoise.schedulers import follows_a_path, keep_rows, noise_level
from gridsearch.render.prompt.encode import Conditioning


class Watcher(Protocol):
    """An observer of the UNet's predictions, which may also stop images."""

    def see(self, call: int, level: float, x0: Tensor) -> None:
        """Take note of the clean latents (N, C, h, w) that a call predicts at a noise level sigma / alpha."""

    def kept(self, call: int) -> Sequence[int] | None:
        """Return the rows that go on after this call; None for all of them."""


def denoise(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    text: Conditioning,
    seeds: Sequence[int],
    sampling: Sampling,
    downscale: int,
    watcher: Watcher,
) -> Tensor:
    """Denoise the images of these seeds into latents (n, C, h, w), without those that the watcher stopped.

    The arithmetic and its order are those of `StableDiffusionXLPipeline.__call__`, which tests compare with.

    Args:
        scheduler: a new one with its timesteps set; it holds what a sampler remembers between steps.
        text: of all images without their prompts, then with them, then once more for perturbed attention, as
            far as the settings ask for each (`sampling.calls_of`).
        downscale: image pixels per latent pixel.
    """
    shape = (unet.config.in_channels, sampling.height // downscale, sampling.width // downscale)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    batch = _start(unet, scheduler, text, seeds, sampling, shape)
    moments = scheduler.timesteps.to(unet.device)
    with perturbed_attention(unet, sampling):
        for call, timestep in enumerate(scheduler.timesteps):
            level = noise_level(scheduler, call)
            x = torch.cat([batch.latents] * calls_of(sampling))
            x = scheduler.scale_model_input(x, timestep)
            output = guided(_predict(unet, x, moments[call], batch), sampling)
            watcher.see(call, level, _clean(x[: len(output)], output, level, sampling))
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
    sizes: Tensor  # (calls_of x N, 6), the sizes that SDXL is told of

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
    sizes = torch.tensor([_sizes(sampling)], device=unet.device, dtype=unet.dtype)
    return _Batch(latents, noise, brownian, text, sizes.repeat(len(text.tokens), 1))


def _variance(scheduler: SchedulerMixin, call: int, batch: _Batch) -> dict[str, Tensor]:
    """Return the noise of a step for DPM++ 2M SDE, which does not ask for it as DPM++ SDE does."""
    if batch.brownian is None or isinstance(scheduler, DPMSolverSDEScheduler):
        return {}
    level, following = scheduler.sigmas[call], scheduler.sigmas[call + 1]
    if following > 0:
        return {"variance_noise": batch.brownian(level, following)}
    return {"variance_noise": torch.zeros_like(batch.latents)}  # the last step adds none


def _sizes(sampling: Sampling) -> tuple[float, ...]:
    """Return the sizes in the order that SDXL was trained with (Podell et al. 2023, section 2.2)."""
    return (
        sampling.original_height,
        sampling.original_width,
        sampling.crop_top,
        sampling.crop_left,
        sampling.target_height,
        sampling.target_width,
    )


def _predict(unet: UNet2DConditionModel, x: Tensor, moment: Tensor, batch: _Batch) -> Tensor:
    return unet(
        x,
        moment,
        encoder_hidden_states=batch.text.tokens,
        encoder_attention_mask=batch.text.mask,
        added_cond_kwargs={"text_embeds": batch.text.pooled, "time_ids": batch.sizes},
        return_dict=False,
    )[0]


def _clean(x: Tensor, output: Tensor, level: float, sampling: Sampling) -> Tensor:
    alpha = (1 + level**2) ** -0.5
    return MODES[sampling.prediction_type].x0(x.float(), output.float(), alpha, level * alpha)
