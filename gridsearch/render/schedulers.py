"""Samplers by name, as diffusers schedulers."""

import inspect

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from gridsearch.errors import BadInput
from gridsearch.render.sampling import MODES, Sampling

SAMPLERS = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "heun": (HeunDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
}


def scheduler_for(sampling: Sampling, config: dict) -> SchedulerMixin:
    """A new diffusers scheduler for these settings.

    Args:
        config: the component folder's scheduler config (betas, training steps, offset).
    """
    mode = MODES[sampling.prediction_type](sampling)
    cls, options = SAMPLERS[sampling.sampler]
    options = options | {"prediction_type": mode.prediction_type}
    if mode.timestep_spacing:
        options["timestep_spacing"] = mode.timestep_spacing
    if mode.rescale_betas_zero_snr:
        if "rescale_betas_zero_snr" not in inspect.signature(cls).parameters:
            raise BadInput(
                f"The sampler {sampling.sampler!r} cannot start from zero terminal SNR.",
                where="render.sampler",
                fix='Use "euler", "euler_a", "ddim" or "dpmpp_2m", or set zero_terminal_snr = false.',
            )
        options["rescale_betas_zero_snr"] = True
    return cls.from_config(config, **options)
