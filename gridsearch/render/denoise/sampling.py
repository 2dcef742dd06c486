"""The settings of an image, and the samplers: names, diffusers' scheduler and UNet calls of each.

A new sampler is a line here and a row in the table of docs/rendering.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gridsearch.base.errors import nearest

STOCHASTIC = "sde-dpmsolver++"  # diffusers' name for DPM++ 2M with noise in every step
# Settings that move the predictions along a trajectory: only images of the same guidance can be compared.
GUIDANCE = ("cfg", "cfg_rescale", "pag_scale", "unconditional")


@dataclass(frozen=True)
class Sampling:
    """All settings that decide what an image looks like, beside weights, prompt and seed; sizes are in px."""

    prediction_type: str  # "epsilon" or "v_prediction"
    zero_terminal_snr: bool
    timestep_spacing: str | None  # None for what the component folder's scheduler says
    sampler: str
    steps: int
    cfg: float
    cfg_rescale: float
    pag_scale: float  # strength of perturbed-attention guidance (Ahn et al. 2024); 0 is without
    unconditional: str  # "zeros" or "empty", for an empty negative prompt
    clip_skip: int  # the layer of the text encoders, from the last as web UIs count; SDXL was trained with 2
    rng: str  # "cpu" for the random numbers of torch's CPU generator, "gpu" for CUDA's
    width: int
    height: int
    original_width: float  # the first of the sizes that SDXL is told of (Podell et al. 2023, section 2.2)
    original_height: float
    crop_left: float
    crop_top: float
    target_width: float
    target_height: float

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt is used at all: at a guidance of 1 it has no weight."""
        return self.cfg > 1

    @property
    def inputs(self) -> int:
        """How many latents the UNet is given for each image in a step."""
        return 1 + self.is_guided + (self.pag_scale > 0)


def usual_spacing(prediction_type: str, zero_terminal_snr: bool) -> tuple[str | None, str]:
    """Return the timestep spacing where the experiment names none (None for the component folder's), and why.

    A model that predicts v may have been trained down to zero terminal SNR (Lin et al. 2023, "Common
    diffusion noise schedules and sample steps are flawed"), where the first step starts from pure noise.
    Without trailing spacing, the last timestep is then never visited (section 3.3).
    """
    if zero_terminal_snr and prediction_type == "v_prediction":
        return "trailing", "zero terminal SNR starts at the last timestep"
    return None, "the component configs"


@dataclass(frozen=True)
class DenoisingSampler:
    """A sampler, and how A1111 writes it into an image: since 1.9 the noise schedule apart from the name."""

    name: str  # A1111's
    scheduler: str  # the class of diffusers
    schedule: str | None = None  # the noise schedule's name; None for whatever the UI chooses by itself
    automatic: str | None = None  # what A1111's "Automatic" schedule means for it, where it is not "Uniform"
    order: int = 1  # UNet calls a step; one less in the last
    steady: bool = True  # whether early predictions come true; samplers that add much noise recover late
    # the scheduler's options for what A1111's sampler does; docs/rendering.md has what still differs
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name and schedule in one, as A1111's menus had them before 1.9: `DPM++ 2M Karras`."""
        return " ".join(filter(None, (self.name, self.schedule)))

    @property
    def options(self) -> dict[str, Any]:
        """The scheduler's options, with those of its noise schedule."""
        return {**self.settings, **({"use_karras_sigmas": True} if self.schedule == "Karras" else {})}

    def calls(self, steps: int) -> int:
        """Return how often the UNet is called for so many steps."""
        return self.order * (steps - 1) + 1


_2M, _SDE = "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler"
_NOISY = {"algorithm_type": STOCHASTIC}
SAMPLERS = {
    "euler": DenoisingSampler("Euler", "EulerDiscreteScheduler"),
    "euler_a": DenoisingSampler("Euler a", "EulerAncestralDiscreteScheduler"),
    "heun": DenoisingSampler("Heun", "HeunDiscreteScheduler", order=2),
    "dpmpp_2m": DenoisingSampler("DPM++ 2M", _2M, automatic="Karras"),
    "dpmpp_2m_karras": DenoisingSampler("DPM++ 2M", _2M, "Karras"),
    "dpmpp_2m_sde": DenoisingSampler("DPM++ 2M SDE", _2M, automatic="Exponential", settings=_NOISY),
    "dpmpp_2m_sde_karras": DenoisingSampler("DPM++ 2M SDE", _2M, "Karras", settings=_NOISY),
    "dpmpp_sde": DenoisingSampler("DPM++ SDE", _SDE, automatic="Karras", order=2, steady=False),
    "dpmpp_sde_karras": DenoisingSampler("DPM++ SDE", _SDE, "Karras", order=2, steady=False),
    "ddim": DenoisingSampler(
        "DDIM", "DDIMScheduler", settings={"clip_sample": False, "set_alpha_to_one": True}
    ),
    "unipc": DenoisingSampler("UniPC", "UniPCMultistepScheduler", settings={"solver_order": 3}),
    "lcm": DenoisingSampler("LCM", "LCMScheduler", steady=False, settings={"clip_sample": False}),
}
# A1111's name of a sampler -> the schedule that "Automatic" means for it (1.9 and later).
AUTOMATIC = {known.name: known.automatic for known in SAMPLERS.values() if known.automatic}


def sampler_key(name: object) -> object:
    """Return the key of a sampler, which may be named as A1111 shows it, in any case.

    Raises:
        ValueError: no sampler is called so.
    """
    if not isinstance(name, str) or name in SAMPLERS:
        return name
    titles = {known.title.lower(): key for key, known in SAMPLERS.items()}
    asked = " ".join(name.lower().split())
    if asked not in titles:
        close = SAMPLERS[titles[nearest(asked, titles)]].title
        raise ValueError(f"there is no sampler of this name; the nearest is {close!r}")
    return titles[asked]
