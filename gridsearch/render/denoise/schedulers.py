"""Samplers by name, as diffusers schedulers."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_euler_discrete import rescale_zero_terminal_snr
from torch import Tensor

from gridsearch.render.denoise.sampling import MODES, Sampling

_KARRAS = {"use_karras_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
# What each is made of, and with which options it does what A1111's sampler of that name does.
# docs/rendering.md says where they still differ.
SCHEDULERS = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, _KARRAS),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, _SDE),
    "dpmpp_2m_sde_karras": (DPMSolverMultistepScheduler, _SDE | _KARRAS),
    "dpmpp_sde": (DPMSolverSDEScheduler, {}),
    "dpmpp_sde_karras": (DPMSolverSDEScheduler, _KARRAS),
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 3}),
    "lcm": (LCMScheduler, {"clip_sample": False}),
}
LCM_TEACHER_STEPS = 50  # of the solver that a latent consistency model was distilled from (Luo et al. 2023)
LEAST_ALPHA_BAR = 2.0**-24  # stands for a zero that would make the first sigma infinite, as in diffusers


def scheduler_for(sampling: Sampling, config: dict[str, Any]) -> SchedulerMixin:
    """A new diffusers scheduler for these settings, its timesteps set and kept on the CPU.

    Args:
        config: the component folder's scheduler config (betas, training steps, offset).
    """
    cls, options = SCHEDULERS[sampling.sampler]
    options = options | {"prediction_type": MODES[sampling.prediction_type].name}
    if sampling.timestep_spacing:
        options["timestep_spacing"] = sampling.timestep_spacing
    if cls is LCMScheduler:
        options["original_inference_steps"] = max(LCM_TEACHER_STEPS, sampling.steps)
    known = inspect.signature(cls).parameters
    if sampling.zero_terminal_snr and "rescale_betas_zero_snr" in known:
        options["rescale_betas_zero_snr"] = True
    elif sampling.zero_terminal_snr:
        options["trained_betas"] = _betas_to_zero_snr(cls.from_config(config).betas)
    scheduler = cls.from_config({key: config[key] for key in known if key in config}, **options)
    scheduler.set_timesteps(sampling.steps)
    return scheduler


def _betas_to_zero_snr(betas: Tensor) -> list[float]:
    """The betas of Lin et al. (2023), algorithm 1, for a scheduler that does not make them itself."""
    kept = 1 - rescale_zero_terminal_snr(betas)
    kept[-1] = LEAST_ALPHA_BAR / torch.prod(kept[:-1])
    return (1 - kept).tolist()


def follows_a_path(scheduler: SchedulerMixin) -> bool:
    """Whether its noise is that of Brownian motion, as in k-diffusion, and not new in every step."""
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        return scheduler.config.algorithm_type == _SDE["algorithm_type"]
    return isinstance(scheduler, DPMSolverSDEScheduler)


def noise_level(scheduler: SchedulerMixin, call: int) -> float:
    """The ratio of noise to signal, sigma / alpha, of the latents that the UNet's n-th call is given."""
    if not hasattr(scheduler, "sigmas"):
        alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[call]].item()
        return ((1 - alpha_bar) / max(alpha_bar, LEAST_ALPHA_BAR)) ** 0.5
    if isinstance(scheduler, DPMSolverSDEScheduler) and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    return scheduler.sigmas[call].item()


def keep_rows(scheduler: SchedulerMixin, rows: Sequence[int]) -> None:
    """Let the scheduler forget what it remembers of all but these images of a batch: (N, C, h, w) tensors."""
    for name, value in vars(scheduler).items():
        if isinstance(value, list):
            setattr(scheduler, name, [_kept(item, rows) for item in value])
        else:
            setattr(scheduler, name, _kept(value, rows))


def _kept(value: Any, rows: Sequence[int]) -> Any:
    return value[rows] if isinstance(value, Tensor) and value.ndim == 4 else value
