"""Rectified flow: the noise levels of its steps, and diffusers' schedulers for it.

Latents are (1 - sigma) x0 + sigma noise, from pure noise on; the UNet predicts the velocity noise - x0, and
is told of the timestep 1000 sigma, as in ComfyUI and diffusers.
"""

import inspect
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SchedulerMixin, UniPCMultistepScheduler
from scipy import stats
from torch import Tensor

from gridsearch.render.denoise.sampling import ANCESTRAL_FLOW, SAMPLERS, Sampling

TIMESTEPS = 1000
BETA = (0.6, 0.6)  # ComfyUI's and A1111's parameters of the schedule "beta" (Lee et al. 2024)
LEAST_SIGNAL = 1e-6  # at the first step of UniPC, whose equations it divides
_MATHEMATICS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def flow_scheduler(sampling: Sampling) -> SchedulerMixin:
    """Return a new scheduler for these settings of a flow, its timesteps set and kept on the CPU."""
    sampler = SAMPLERS[sampling.sampler]
    cls = FlowAncestral if sampler.flow == ANCESTRAL_FLOW else getattr(diffusers, str(sampler.flow))
    known = inspect.signature(cls).parameters
    options = {**sampler.settings, **_MATHEMATICS}
    scheduler = cls(**{name: value for name, value in options.items() if name in known})
    scheduler.set_timesteps(sampling.steps)
    levels = torch.from_numpy(flow_sigmas(sampling))
    if cls is UniPCMultistepScheduler:
        levels = levels.clamp(max=1 - LEAST_SIGNAL)
    if sampler.order == 2:  # the second call of a step is at the next level
        levels = torch.cat([levels[:1], levels[1:].repeat_interleave(2)])
    scheduler.sigmas = torch.cat([levels, levels.new_zeros(1)]).float()
    scheduler.timesteps = (TIMESTEPS * levels).float()
    scheduler.init_noise_sigma = 1.0
    scheduler.scale_model_input = lambda x, timestep: x
    return scheduler


def flow_sigmas(sampling: Sampling) -> np.ndarray:
    """Return the share of noise before each step, the highest first: 1.

    They are shifted as in Esser et al. (2024, eq. 23), which ComfyUI's ModelSamplingSD3 does too.
    """
    passed = np.arange(sampling.steps) / sampling.steps
    least = 1 / TIMESTEPS
    if sampling.schedule == "beta":
        times = least + (1 - least) * stats.beta.ppf(1 - passed, *BETA)
    elif sampling.timestep_spacing == "linspace":  # ends at the least level, shifted twice as elsewhere
        times = np.linspace(1, shifted(least, sampling.shift), sampling.steps)
    else:
        times = 1 - passed
    return shifted(times, sampling.shift)


def shifted(times: Any, shift: float | None) -> Any:
    """Return noise levels with more of them where there is much noise, for a shift over 1."""
    shift = 1.0 if shift is None else shift
    return shift * times / (1 + (shift - 1) * times)


def is_flow(scheduler: SchedulerMixin) -> bool:
    """Return whether it is a scheduler of rectified flow; those that are nothing else do not say so."""
    said = _MATHEMATICS["prediction_type"]
    return scheduler.config.get("prediction_type", said) == said


class FlowAncestral(FlowMatchEulerDiscreteScheduler):
    """Euler a for rectified flow, with new noise in each step but the last: ComfyUI's rule, at eta 1.

    A step goes to the level sigma'^2 / sigma, below its goal sigma'; then picture and noise are scaled to the
    picture's share at the goal, and noise is added up to sigma'.
    """

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, return_dict: bool = True) -> tuple:
        """Return the latents (N, C, h, w) after a step, in a tuple."""
        if self.step_index is None:
            self._init_step_index(timestep)
        level, goal = self.sigmas[self.step_index].item(), self.sigmas[self.step_index + 1].item()
        self._step_index += 1
        lower = goal**2 / level
        x = sample.float() + (lower - level) * model_output.float()
        scale = (1 - goal) / (1 - lower)
        if goal > 0:
            noise = torch.randn(x.shape, device=x.device, dtype=x.dtype)
            x = scale * x + (goal**2 - (scale * lower) ** 2) ** 0.5 * noise
        return (x.to(model_output.dtype),)
