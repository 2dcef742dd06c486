"""diffusers' schedulers for our settings: noise schedules, and the noise level of each UNet call."""

import inspect
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DPMSolverSDEScheduler, EulerAncestralDiscreteScheduler, SchedulerMixin
from diffusers.schedulers.scheduling_euler_discrete import rescale_zero_terminal_snr
from diffusers.schedulers.scheduling_utils import AysSchedules
from torch import Tensor

from gridsearch.checkpoint.prediction import FLOW
from gridsearch.render.denoise.flow import flow_scheduler, is_flow
from gridsearch.render.denoise.prediction import sampled_type
from gridsearch.render.denoise.sampling import ALIGN_YOUR_STEPS, SAMPLERS, Sampling

TEACHER_STEPS = 50  # of the solver that a consistency model was distilled from (Luo et al. 2023)
LEAST_ALPHA_BAR = 2.0**-24  # stands for a zero that would make the first sigma infinite, as in diffusers
LOWEST_ALIGNED = 0.029


def scheduler_for(sampling: Sampling, config: dict[str, Any]) -> SchedulerMixin:
    """Return a new diffusers scheduler for these settings, its timesteps set and kept on the CPU.

    Args:
        config: the component folder's scheduler config (betas, training steps, offset).
    """
    if sampling.prediction_type == FLOW:
        return flow_scheduler(sampling)
    sampler = SAMPLERS[sampling.sampler]
    cls = getattr(diffusers, sampler.scheduler)
    options = sampler.options | {"prediction_type": sampled_type(sampling.prediction_type)}
    if sampling.timestep_spacing:
        options["timestep_spacing"] = sampling.timestep_spacing
    known = inspect.signature(cls).parameters
    if "original_inference_steps" in known:
        options["original_inference_steps"] = max(TEACHER_STEPS, sampling.steps)
    if sampling.schedule and cls is not EulerAncestralDiscreteScheduler:
        flag = "karras" if sampling.schedule == ALIGN_YOUR_STEPS else sampling.schedule
        options[f"use_{flag}_sigmas"] = True
    if sampling.zero_terminal_snr and "rescale_betas_zero_snr" in known:
        options["rescale_betas_zero_snr"] = True
    elif sampling.zero_terminal_snr:  # the betas of Lin et al. (2023), algorithm 1
        kept = 1 - rescale_zero_terminal_snr(cls.from_config(config).betas)
        kept[-1] = LEAST_ALPHA_BAR / torch.prod(kept[:-1])
        options["trained_betas"] = (1 - kept).tolist()
    scheduler = cls.from_config({key: config[key] for key in known if key in config}, **options)
    if sampling.schedule == ALIGN_YOUR_STEPS:
        scheduler._convert_to_karras = lambda in_sigmas, **_: aligned_levels(sampling.steps)
    scheduler.set_timesteps(sampling.steps)
    if sampling.schedule and cls is EulerAncestralDiscreteScheduler:
        _place(scheduler, sampling)
    return scheduler


def aligned_levels(steps: int) -> np.ndarray:
    """Return the noise levels of Align Your Steps (Sabour et al. 2024), the highest first, as A1111 has them.

    The paper's table for SDXL, of ten steps, is interpolated over the logarithm; it ends at the lowest level.
    """
    table = [*AysSchedules["StableDiffusionXLSigmas"][:-1], LOWEST_ALIGNED]
    places = np.linspace(0, len(table) - 1, steps)
    return np.exp(np.interp(places, np.arange(len(table)), np.log(table)))


def _place(scheduler: SchedulerMixin, sampling: Sampling) -> None:
    """Give Euler a a noise schedule, which diffusers' scheduler has none of: that which Euler would have."""
    twin = scheduler_for(replace(sampling, sampler="euler"), dict(scheduler.config))
    scheduler.sigmas, scheduler.timesteps = twin.sigmas, twin.timesteps


def noise_level(scheduler: SchedulerMixin, call: int) -> float:
    """Return the ratio of noise to signal, sigma / alpha, of the latents that the n-th UNet call is given."""
    if is_flow(scheduler):
        sigma = scheduler.sigmas[call].item()
        return sigma / max(1 - sigma, LEAST_ALPHA_BAR**0.5)
    if not hasattr(scheduler, "sigmas"):
        alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[call]].item()
        return ((1 - alpha_bar) / max(alpha_bar, LEAST_ALPHA_BAR)) ** 0.5
    if isinstance(scheduler, DPMSolverSDEScheduler) and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    return scheduler.sigmas[call].item()


def with_noise(scheduler: SchedulerMixin, clean: Tensor, noise: Tensor, call: int) -> Tensor:
    """Return clean latents (N, C, h, w) with noise, as the scheduler has them at the n-th UNet call."""
    if is_flow(scheduler):
        sigma = scheduler.sigmas[call].item()
        return (1 - sigma) * clean + sigma * noise
    if hasattr(scheduler, "sigmas"):
        return scheduler.add_noise(clean, noise, scheduler.timesteps[call : call + 1])
    alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[call]]  # whose own method would move them
    return alpha_bar.sqrt().item() * clean + (1 - alpha_bar).sqrt().item() * noise
