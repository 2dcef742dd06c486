"""The settings of an image, and the samplers: names, diffusers' scheduler and UNet calls of each.

A new sampler is a line here and a row in the table of docs/web-uis.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridsearch.base.errors import nearest_text
from gridsearch.checkpoint.family import MIDDLE
from gridsearch.checkpoint.prediction import FLOW

STOCHASTIC = "sde-dpmsolver++"  # diffusers' name for DPM++ 2M with noise in every step
ANCESTRAL_FLOW = "FlowAncestral"  # a scheduler of our own, as diffusers has none
UNLIMITED = 10_000.0  # stands for an infinite sigma
ALIGN_YOUR_STEPS = "align_your_steps"
# Noise schedules that samplers can be given, and A1111's names of them.
SCHEDULES = {
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    ALIGN_YOUR_STEPS: "Align Your Steps",
}
# Those that are defined for rectified flow too.
FLOW_SCHEDULES, FLOW_SPACINGS = ("beta",), ("trailing", "linspace")
USUAL_SHIFT = 3.0  # of rectified flow: the default of ComfyUI's ModelSamplingSD3 and of reForge
# Those of A1111 and ComfyUI that are a spacing here; docs/web-uis.md has how near they come.
SPACINGS = {
    "Uniform": "linspace",
    "Normal": "linspace",
    "Simple": "trailing",
    "SGM Uniform": "trailing",
    "DDIM": "leading",
}
# The numbers of guidance, each of which may be searched.
GUIDANCE_NUMBERS = (
    *("cfg", "cfg_rescale", "pag_scale", "cfg_sigma_low", "cfg_sigma_high", "seg_scale", "seg_sigma"),
    *("query_blur", "freeu_b1", "freeu_b2", "freeu_s1", "freeu_s2"),
    *("mimic_scale", "mimic_percentile", "mimic_phi"),
)
# Those that have no effect where the negative prompt has none, and those that have none where another is 0.
OF_NEGATIVE = ("cfg_rescale", "unconditional", "cfg_sigma_low", "cfg_sigma_high", "mimic_scale")
OF_ANOTHER = {
    "pag_layers": "pag_scale",
    "seg_sigma": "seg_scale",
    "mimic_percentile": "mimic_scale",
    "mimic_phi": "mimic_scale",
    "hires_steps": "hires_denoise",
}
# Settings that move the predictions along a trajectory: only images of the same guidance can be compared.
GUIDANCE = (*GUIDANCE_NUMBERS, "pag_layers", "unconditional")


@dataclass(frozen=True)
class Sampling:
    """All settings that decide what an image looks like, beside weights, prompt and seed; sizes are in px."""

    prediction_type: str  # "epsilon", "v_prediction", "sample" or "flow"
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
    schedule: str | None = None  # one of `SCHEDULES`; None for the spacing, or the sampler's own
    # noise levels sigma / alpha between which there is guidance by the negative prompt
    cfg_sigma_low: float = 0.0
    cfg_sigma_high: float = UNLIMITED
    pag_layers: str = MIDDLE  # the layers that are perturbed: blocks, or single layers as `M00.0`
    seg_scale: float = 0.0  # strength of smoothed-energy guidance (Hong 2024); 0 is without
    # of its blur, in places of the middle block; `UNLIMITED` for uniform queries
    seg_sigma: float = UNLIMITED
    query_blur: float = 0.0  # the same of every prediction, as A1111's extension does; 0 is without
    sanf: bool = False  # whether each value is guided by the prompt or by attention, by which is more salient
    freeu_b1: float = 1.0  # FreeU (Si et al. 2024): weights of the backbone and the skip connections
    freeu_b2: float = 1.0
    freeu_s1: float = 1.0
    freeu_s2: float = 1.0
    freeu_version: int = 2
    mimic_scale: float = 0.0  # of dynamic thresholding: the guidance whose range is kept; 0 is without
    mimic_percentile: float = 1.0
    mimic_phi: float = 1.0
    mimic_per_channel: bool = True
    shift: float | None = None  # of the noise of rectified flow (Esser et al. 2024, eq. 23); None for others
    # hires fix (see `hires`): by how much a picture is enlarged and drawn again; None is without
    hires_scale: float | None = None
    hires_steps: int = 0  # 0 for as many as before
    hires_denoise: float = 0.7  # the share of its schedule that is done again
    hires_upscaler: str = "Latent"

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt is used at all."""
        return self.cfg > least_cfg(self.sampler)

    @property
    def changes_attention(self) -> bool:
        """Whether any prediction is made with other self-attention than that of the model."""
        return self.pag_scale > 0 or (self.seg_scale > 0 and self.seg_sigma > 0) or self.query_blur > 0

    @property
    def guidance(self) -> float:
        """The weight of the difference that the prompt makes."""
        return self.cfg * SAMPLERS[self.sampler].cfg_unit


def usual_spacing(prediction_type: str, zero_terminal_snr: bool) -> tuple[str | None, str]:
    """Return the timestep spacing where the experiment names none (None for the component folder's), and why.

    A model that predicts v may have been trained down to zero terminal SNR (Lin et al. 2023, "Common
    diffusion noise schedules and sample steps are flawed"), where the first step starts from pure noise.
    Without trailing spacing, the last timestep is then never visited (section 3.3).
    """
    if zero_terminal_snr and prediction_type != "epsilon":
        return "trailing", "zero terminal SNR starts at the last timestep"
    if prediction_type == FLOW:
        return "trailing", "rectified flow starts from pure noise"
    if prediction_type == "sample":
        return "trailing", "a model distilled to few steps starts at the last timestep"
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
    free: bool = False  # whether it can be given any of `SCHEDULES`
    renoised: bool = False  # whether by the noise that is predicted without the prompt: CFG++
    # the scheduler's options for what A1111's sampler does; docs/web-uis.md has what still differs
    settings: Mapping[str, Any] = field(default_factory=dict)
    flow: str | None = None  # the class for rectified flow; None where the sampler is not defined for it

    @property
    def title(self) -> str:
        """Name and schedule in one, as A1111's menus had them before 1.9: `DPM++ 2M Karras`."""
        return " ".join(filter(None, (self.name, self.schedule)))

    @property
    def options(self) -> dict[str, Any]:
        """The scheduler's options, with those of its noise schedule."""
        return {**self.settings, **({"use_karras_sigmas": True} if self.schedule == "Karras" else {})}

    @property
    def cfg_unit(self) -> float:
        """A1111's factor of the guidance: CFG++ needs less than 1, where its slider begins."""
        return 1 / 12.5 if self.renoised else 1.0

    def calls(self, steps: int) -> int:
        """Return how often the UNet is called for so many steps."""
        return self.order * (steps - 1) + 1


_2M, _SDE = "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler"
_NOISY = {"algorithm_type": STOCHASTIC}
_DDIM = {"clip_sample": False, "set_alpha_to_one": True}
_UNIPC = "UniPCMultistepScheduler"
_FLOW_EULER, _FLOW_HEUN = "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"
SAMPLERS = {
    "euler": DenoisingSampler("Euler", "EulerDiscreteScheduler", free=True, flow=_FLOW_EULER),
    "euler_a": DenoisingSampler("Euler a", "EulerAncestralDiscreteScheduler", free=True, flow=ANCESTRAL_FLOW),
    "heun": DenoisingSampler("Heun", "HeunDiscreteScheduler", order=2, free=True, flow=_FLOW_HEUN),
    "dpmpp_2m": DenoisingSampler("DPM++ 2M", _2M, automatic="Karras", free=True, flow=_2M),
    "dpmpp_2m_karras": DenoisingSampler("DPM++ 2M", _2M, "Karras"),
    "dpmpp_2m_sde": DenoisingSampler(
        "DPM++ 2M SDE", _2M, automatic="Exponential", settings=_NOISY, free=True, flow=_2M
    ),
    "dpmpp_2m_sde_karras": DenoisingSampler("DPM++ 2M SDE", _2M, "Karras", settings=_NOISY),
    "dpmpp_sde": DenoisingSampler("DPM++ SDE", _SDE, automatic="Karras", order=2, steady=False, free=True),
    "dpmpp_sde_karras": DenoisingSampler("DPM++ SDE", _SDE, "Karras", order=2, steady=False),
    "ddim": DenoisingSampler("DDIM", "DDIMScheduler", settings=_DDIM, flow=_FLOW_EULER),
    "ddim_cfgpp": DenoisingSampler(
        "DDIM CFG++", "DDIMScheduler", settings=_DDIM, renoised=True, flow=_FLOW_EULER
    ),
    "unipc": DenoisingSampler("UniPC", _UNIPC, settings={"solver_order": 3}, flow=_UNIPC),
    "lcm": DenoisingSampler(
        "LCM", "LCMScheduler", steady=False, settings={"clip_sample": False}, flow="FlowMatchLCMScheduler"
    ),
    "tcd": DenoisingSampler("TCD", "TCDScheduler", steady=False, settings={"clip_sample": False}),
}
# A1111's name of a sampler -> the schedule that "Automatic" means for it (1.9 and later).
AUTOMATIC = {known.name: known.automatic for known in SAMPLERS.values() if known.automatic}


def least_cfg(samplers: str | Iterable[str] | None) -> float:
    """Return the guidance at and below which the negative prompt has no weight, with a sampler or some.

    CFG++ guides from 0 on.
    """
    names = [samplers] if isinstance(samplers, str) else samplers or ()
    return 0.0 if any(SAMPLERS[name].renoised for name in names) else 1.0


def sampler_key(name: object) -> object:
    """Return the key of a sampler, which may be named as A1111 shows it, in any case.

    Raises:
        ValueError: no sampler is called so.
    """
    if not isinstance(name, str) or name in SAMPLERS:
        return name
    titles = {known.title.lower(): key for key, known in SAMPLERS.items()}
    asked = " ".join(name.lower().split())
    for schedule in SCHEDULES.values():
        if asked.endswith(f" {schedule.lower()}") and asked not in titles:
            given = f'sampler = "{name[: -len(schedule) - 1]}" and schedule = "{schedule}"'
            raise ValueError(f"give the noise schedule by itself: {given}")
    if asked not in titles:
        close = nearest_text(name, list(dict.fromkeys(one.title for one in SAMPLERS.values())))[:-1]
        raise ValueError(f"there is no sampler of this name; {close[0].lower()}{close[1:]}")
    return titles[asked]


def schedule_key(name: object) -> object:
    """Return the key of a noise schedule, which may be named as A1111 shows it, in any case.

    Raises:
        ValueError: no schedule is called so, or it is a spacing here.
    """
    if not isinstance(name, str) or name in SCHEDULES:
        return name
    asked = name.lower()
    titles = {title.lower(): key for key, title in SCHEDULES.items()}
    if spacing := {title.lower(): own for title, own in SPACINGS.items()}.get(asked):
        raise ValueError(f'here it is a spacing: leave it out and set timestep_spacing = "{spacing}"')
    if asked not in titles:
        raise ValueError(f"there is no such noise schedule; there are {', '.join(SCHEDULES)}")
    return titles[asked]
