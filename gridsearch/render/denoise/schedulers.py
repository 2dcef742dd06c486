"""The diffusers scheduler of a sampler, set up for an image's settings."""

import inspect
from collections.abc import Sequence
from typing import Any

import diffusers
import torch
from diffusers import DPMSolverMultistepScheduler, DPMSolverSDEScheduler, LCMScheduler, SchedulerMixin
from diffusers.schedulers.scheduling_euler_discrete import rescale_zero_terminal_snr
from torch import Tensor

from gridsearch.render.denoise.sampling import SAMPLERS, STOCHASTIC, Sampling

LCM_TEACHER_STEPS = 50  # of the solver that a latent consistency model was distilled from (Luo et al. 2023)
LEAST_ALPHA_BAR = 2.0**-24  # stands for a zero that would make the first sigma infinite, as in diffusers


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
    if cls is LCMScheduler:
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


def follows_a_path(scheduler: SchedulerMixin) -> bool:
    """Return whether its noise is that of Brownian motion, as in k-diffusion, and not new in every step."""
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        return scheduler.config.algorithm_type == STOCHASTIC
    return isinstance(scheduler, DPMSolverSDEScheduler)


def noise_level(scheduler: SchedulerMixin, call: int) -> float:
    """Return the ratio of noise to signal, sigma / alpha, of the latents that the n-th UNet call is given."""
    if not hasattr(scheduler, "sigmas"):
        alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[call]].item()
        return ((1 - alpha_bar) / max(alpha_bar, LEAST_ALPHA_BAR)) ** 0.5
    if isinstance(scheduler, DPMSolverSDEScheduler) and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    return scheduler.sigmas[call].item()


def keep_rows(scheduler: SchedulerMixin, rows: Sequence[int]) -> None:
    """Keep only these images of a batch in what the scheduler remembers: (N, C, h, w) tensors."""

    def kept(value: Any) -> Any:
        return value[rows] if isinstance(value, Tensor) and value.ndim == 4 else value

    for name, value in vars(scheduler).items():
        setattr(scheduler, name, [kept(item) for item in value] if isinstance(value, list) else kept(value))
