"""The denoising loop with its guidance and its scheduler: noise and conditioning in, latents out.

It does not wait for the device: all that a step needs beside the latents is known on the CPU. Only a watcher
that stops images waits, and diffusers' UniPC, which solves its equations on the device.
"""

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import diffusers
import torch
from diffusers import DPMSolverSDEScheduler, SchedulerMixin, UNet2DConditionModel
from diffusers.models.attention_processor import (
    Attention,
    PAGCFGIdentitySelfAttnProcessor2_0,
    PAGIdentitySelfAttnProcessor2_0,
)
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from diffusers.schedulers.scheduling_euler_discrete import rescale_zero_terminal_snr
from torch import Tensor

from gridsearch.render.denoise.noise import Brownian, Noise, on_device
from gridsearch.render.denoise.sampling import SAMPLERS, STOCHASTIC, Sampling
from gridsearch.render.prompt.encode import Conditioning
from gridsearch.render.watch import Recorder

LCM_TEACHER_STEPS = 50  # of the solver that a latent consistency model was distilled from (Luo et al. 2023)
LEAST_ALPHA_BAR = 2.0**-24  # stands for a zero that would make the first sigma infinite, as in diffusers
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
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    batch = _Batch(unet, scheduler, text, seeds, sampling, downscale)
    moments = scheduler.timesteps.to(unet.device)
    with _perturbed_attention(unet, sampling):
        for call, timestep in enumerate(scheduler.timesteps):
            level = noise_level(scheduler, call)
            x = torch.cat([batch.latents] * sampling.inputs)
            x = scheduler.scale_model_input(x, timestep)
            output = _guided(batch.predicted(unet, x, moments[call]), sampling)
            watcher.see(call, level, _clean(x[: len(output)].float(), output.float(), level, sampling))
            with batch.noise:
                batch.latents = scheduler.step(
                    output, timestep, batch.latents, **batch.variance(scheduler, call), return_dict=False
                )[0]
            rows = watcher.kept(call)
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
    ) -> None:
        shape = (unet.config.in_channels, sampling.height // downscale, sampling.width // downscale)
        self.text, self.noise = text, Noise(seeds, sampling.rng)
        self.latents = on_device(self.noise.draw(shape), unet.device, unet.dtype) * scheduler.init_noise_sigma
        self.brownian = None
        algorithm = scheduler.config.get("algorithm_type")
        if algorithm == STOCHASTIC or isinstance(scheduler, DPMSolverSDEScheduler):
            # its noise is that of Brownian motion, as in k-diffusion, and not new in every step
            positive = scheduler.sigmas[scheduler.sigmas > 0]
            levels = (positive.min().item(), positive.max().item())
            self.brownian = Brownian(seeds, sampling.rng, levels, self.latents)
            scheduler.noise_sampler = self.brownian
        sizes = (  # in the order that SDXL was trained with (Podell et al. 2023, section 2.2)
            *(sampling.original_height, sampling.original_width),
            *(sampling.crop_top, sampling.crop_left),
            *(sampling.target_height, sampling.target_width),
        )
        self.sizes = torch.tensor([sizes], device=unet.device, dtype=unet.dtype).repeat(len(text.tokens), 1)

    def predicted(self, unet: UNet2DConditionModel, x: Tensor, moment: Tensor) -> Tensor:
        return unet(
            x,
            moment,
            encoder_hidden_states=self.text.tokens,
            encoder_attention_mask=self.text.mask,
            added_cond_kwargs={"text_embeds": self.text.pooled, "time_ids": self.sizes},
            return_dict=False,
        )[0]

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
        self.text = Conditioning(self.text.tokens[inputs], self.text.pooled[inputs], mask)
        self.sizes = self.sizes[inputs]
        self.latents = self.latents[rows]
        self.noise.keep(rows)
        if self.brownian:
            self.brownian.keep(rows)
        for name, value in vars(scheduler).items():
            new = [kept(item) for item in value] if isinstance(value, list) else kept(value)
            setattr(scheduler, name, new)


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
    identity = kind()
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
            layer.processor = identity
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


# -- diffusers' schedulers


def scheduler_for(sampling: Sampling, config: dict[str, Any]) -> SchedulerMixin:
    """Return a new diffusers scheduler for these settings, its timesteps set and kept on the CPU.

    Args:
        config: the component folder's scheduler config (betas, training steps, offset).
    """
    sampler = SAMPLERS[sampling.sampler]
    cls = getattr(diffusers, sampler.scheduler)
    options = sampler.options | {"prediction_type": sampling.prediction_type}
    if sampling.timestep_spacing:
        options["timestep_spacing"] = sampling.timestep_spacing
    if cls is diffusers.LCMScheduler:
        options["original_inference_steps"] = max(LCM_TEACHER_STEPS, sampling.steps)
    known = inspect.signature(cls).parameters
    if sampling.zero_terminal_snr and "rescale_betas_zero_snr" in known:
        options["rescale_betas_zero_snr"] = True
    elif sampling.zero_terminal_snr:  # the betas of Lin et al. (2023), algorithm 1
        kept = 1 - rescale_zero_terminal_snr(cls.from_config(config).betas)
        kept[-1] = LEAST_ALPHA_BAR / torch.prod(kept[:-1])
        options["trained_betas"] = (1 - kept).tolist()
    scheduler = cls.from_config({key: config[key] for key in known if key in config}, **options)
    scheduler.set_timesteps(sampling.steps)
    return scheduler


def noise_level(scheduler: SchedulerMixin, call: int) -> float:
    """Return the ratio of noise to signal, sigma / alpha, of the latents that the n-th UNet call is given."""
    if not hasattr(scheduler, "sigmas"):
        alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[call]].item()
        return ((1 - alpha_bar) / max(alpha_bar, LEAST_ALPHA_BAR)) ** 0.5
    if isinstance(scheduler, DPMSolverSDEScheduler) and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    return scheduler.sigmas[call].item()
