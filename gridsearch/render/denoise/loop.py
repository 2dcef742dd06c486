"""The denoising loop: noise and conditioning in, latents out.

It does not wait for the device: all that a step needs beside the latents is known on the CPU. Only a watcher
that stops images waits, and diffusers' UniPC, which solves its equations on the device.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import DPMSolverSDEScheduler, SchedulerMixin, UNet2DConditionModel
from torch import Tensor

from gridsearch.render.denoise.guidance.attention import GuidedAttention, guided_attention
from gridsearch.render.denoise.guidance.branches import WITHOUT, branches_at
from gridsearch.render.denoise.guidance.combine import guided, renoised
from gridsearch.render.denoise.guidance.freeu import freeu
from gridsearch.render.denoise.noise import Brownian, Noise, on_device
from gridsearch.render.denoise.prediction import clean, sampled, sampled_type
from gridsearch.render.denoise.sampling import STOCHASTIC, Sampling
from gridsearch.render.denoise.schedulers import noise_level, with_noise
from gridsearch.render.prompt.encode import Conditioning
from gridsearch.render.watch import Recorder


@dataclass(frozen=True)
class Start:
    """Clean latents (n, C, h, w) that noise is added to, and the step with whose noise it begins."""

    latents: Tensor
    step: int


def denoise(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    text: Conditioning,
    seeds: Sequence[int],
    sampling: Sampling,
    downscale: int,
    watcher: Recorder,
    start: Start | None = None,
) -> Tensor:
    """Denoise the images of these seeds into latents (n, C, h, w), without those that the watcher stopped.

    The arithmetic and its order are those of diffusers' pipelines, which tests compare with.

    Args:
        scheduler: a new one with its timesteps set; it holds what a sampler remembers between steps.
        text: of all images for the first of their `branches`, then of all for the second, and so on.
        downscale: image pixels per latent pixel.
        start: where it is not pure noise.
    """
    first = start.step * scheduler.order if start else 0
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    trained, sampling = sampling, replace(sampling, prediction_type=sampled_type(sampling.prediction_type))
    batch = _Batch(unet, scheduler, text, seeds, sampling, downscale, start)
    moments = scheduler.timesteps.to(unet.device)
    latent = (batch.latents.shape[2], batch.latents.shape[3])
    with guided_attention(unet, sampling, latent) as layers, freeu(unet, sampling):
        for call, timestep in enumerate(scheduler.timesteps[first:], start=first):
            level, moment = noise_level(scheduler, call), moments[call]
            x = scheduler.scale_model_input(batch.latents, timestep)
            outputs = branch_outputs(unet, x, level, moment, batch.text, batch.sizes, trained, layers)
            output = guided(outputs, x, level, sampling)
            x0 = clean(x.float(), output.float(), level, sampling.prediction_type)
            watcher.see(call - first, level, x0)
            from_here, output = renoised(batch.latents, output, outputs.get(WITHOUT), level, sampling)
            with batch.noise:
                batch.latents = scheduler.step(
                    output, timestep, from_here, **batch.variance(scheduler, call), return_dict=False
                )[0]
            rows = watcher.kept(call - first)
            if rows is not None:
                batch.keep(rows, scheduler)
            if not len(batch.latents):
                break
    return batch.latents


class _Batch:
    """The images that are still being rendered, with all that a step needs beside their latents."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        text: Conditioning,
        seeds: Sequence[int],
        sampling: Sampling,
        downscale: int,
        start: Start | None,
    ) -> None:
        shape = (unet.config.in_channels, sampling.height // downscale, sampling.width // downscale)
        self.text, self.noise = text, Noise(seeds, sampling.rng)
        noise = on_device(self.noise.draw(shape), unet.device, unet.dtype)
        if start is None:
            self.latents = noise * scheduler.init_noise_sigma
        else:
            clean = start.latents.to(unet.dtype)
            self.latents = with_noise(scheduler, clean, noise, start.step * scheduler.order)
        self.brownian = None
        algorithm = scheduler.config.get("algorithm_type")
        if algorithm == STOCHASTIC or isinstance(scheduler, DPMSolverSDEScheduler):
            # its noise is that of Brownian motion, as in k-diffusion, and not new in every step
            positive = scheduler.sigmas[scheduler.sigmas > 0]
            levels = (positive.min().item(), positive.max().item())
            self.brownian = Brownian(seeds, sampling.rng, levels, self.latents)
            scheduler.noise_sampler = self.brownian
        self.sizes = size_ids(unet, sampling, len(text.tokens))

    def variance(self, scheduler: SchedulerMixin, call: int) -> dict[str, Tensor]:
        """Return the noise of a step for DPM++ 2M SDE, which does not ask for it as DPM++ SDE does."""
        if self.brownian is None or isinstance(scheduler, DPMSolverSDEScheduler):
            return {}
        level, following = scheduler.sigmas[call], scheduler.sigmas[call + 1]
        if following > 0:
            return {"variance_noise": self.brownian(level, following)}
        return {"variance_noise": torch.zeros_like(self.latents)}  # the last step adds none

    def keep(self, rows: Sequence[int], scheduler: SchedulerMixin) -> None:
        """Go on with these rows only, also of the (N, C, h, w) tensors that the scheduler remembers."""

        def kept(value: Any) -> Any:
            return value[rows] if isinstance(value, Tensor) and value.ndim == 4 else value

        every = range(0, len(self.sizes), len(self.latents))
        inputs = [first + row for first in every for row in rows]
        mask = None if self.text.mask is None else self.text.mask[inputs]
        pooled = None if self.text.pooled is None else self.text.pooled[inputs]
        self.text = Conditioning(self.text.tokens[inputs], pooled, mask)
        self.sizes = self.sizes[inputs]
        self.latents = self.latents[rows]
        self.noise.keep(rows)
        if self.brownian:
            self.brownian.keep(rows)
        for name, value in vars(scheduler).items():
            new = [kept(item) for item in value] if isinstance(value, list) else kept(value)
            setattr(scheduler, name, new)


def size_ids(unet: UNet2DConditionModel, sampling: Sampling, inputs: int) -> Tensor:
    """Return the sizes that SDXL is told of, (inputs, 6), in the order that it was trained with.

    Podell et al. 2023, section 2.2.
    """
    sizes = (
        *(sampling.original_height, sampling.original_width),
        *(sampling.crop_top, sampling.crop_left),
        *(sampling.target_height, sampling.target_width),
    )
    return torch.tensor([sizes], device=unet.device, dtype=unet.dtype).repeat(inputs, 1)


def branch_outputs(
    unet: UNet2DConditionModel,
    x: Tensor,
    level: float,
    moment: Tensor,
    text: Conditioning,
    sizes: Tensor,
    sampling: Sampling,
    layers: Iterable[GuidedAttention],
) -> dict[str, Tensor]:
    """Return the outputs (N, C, h, w) for x by branch, as a sampler takes them: v in the place of x0.

    Args:
        x: latents (N, C, h, w) of the noise level sigma / alpha, alpha^2 + sigma^2 = 1, or alpha + sigma = 1.
        moment: the timestep that the UNet is told.
        text, sizes: of all N for the first of the branches, then of all for the second, and so on.
        layers: those whose rows attend as their branch does.
    """
    active = branches_at(sampling, level)
    for layer in layers:
        layer.expect(active)
    rows = slice(-len(active) * len(x), None)  # what is left out comes first
    mask = None if text.mask is None else text.mask[rows]
    pooled = None if text.pooled is None else text.pooled[rows]
    told = Conditioning(text.tokens[rows], pooled, mask)
    x = torch.cat([x] * len(active))
    output = sampled(x, predicted(unet, x, moment, told, sizes[rows]), level, sampling.prediction_type)
    return dict(zip(active, output.chunk(len(active)), strict=True))


def predicted(
    unet: UNet2DConditionModel, x: Tensor, moment: Tensor, text: Conditioning, sizes: Tensor
) -> Tensor:
    """Return the UNet's output for latents x at one timestep: epsilon or v, as the model predicts.

    Where no text encoder pools, the UNet reads no pooled text, and is told no sizes.
    """
    added = None if text.pooled is None else {"text_embeds": text.pooled, "time_ids": sizes}
    return unet(
        x,
        moment,
        encoder_hidden_states=text.tokens,
        encoder_attention_mask=text.mask,
        added_cond_kwargs=added,
        return_dict=False,
    )[0]
