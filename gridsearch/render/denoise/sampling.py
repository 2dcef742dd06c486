"""How the noise becomes a picture: prediction type, noise schedule and sampler.

A model trained to predict epsilon and one trained to predict v (Salimans & Ho 2022, appendix D) differ in
what their output means; a v model may also have been trained down to zero terminal SNR (Lin et al. 2023,
"Common diffusion noise schedules and sample steps are flawed"), where the first step starts from pure noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # settings are compared where torch is not loaded
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Every setting that decides what an image looks like, beside weights, prompt and seed.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        timestep_spacing: None for what the component folder's scheduler says.
        pag_scale: strength of perturbed-attention guidance (Ahn et al. 2024); 0 is without.
        unconditional: "zeros" or "empty", for an empty negative prompt.
        clip_skip: which layer of the text encoders is read, counted from the last, as web UIs count: SDXL was
            trained with 2.
        rng: whose random numbers: "cpu" is torch's CPU generator, "gpu" is CUDA's.
        width, height: of the image, px; the sizes after them are what SDXL is told of the picture
            (Podell et al. 2023, section 2.2), px.
    """

    prediction_type: str
    zero_terminal_snr: bool
    timestep_spacing: str | None
    sampler: str
    steps: int
    cfg: float
    cfg_rescale: float
    pag_scale: float
    unconditional: str
    clip_skip: int
    rng: str
    width: int
    height: int
    original_width: float
    original_height: float
    crop_left: float
    crop_top: float
    target_width: float
    target_height: float


# What moves the predictions of a trajectory beside the weights: those of different guidance do not compare.
GUIDANCE = ("cfg", "cfg_rescale", "pag_scale")


def is_guided(sampling: Sampling) -> bool:
    """Whether the negative prompt is asked at all: at a guidance of 1 it has no weight."""
    return sampling.cfg > 1


def calls_of(sampling: Sampling) -> int:
    """How many latents the UNet is given for each image in a step."""
    return 1 + is_guided(sampling) + (sampling.pag_scale > 0)


class Mode(Protocol):
    """A prediction type: what a model's output means, and what its noise schedule is by default.

    A noisy latent is x = alpha x0 + sigma noise, with alpha^2 + sigma^2 = 1.
    """

    name: str

    def x0(self, x: Tensor, output: Tensor, alpha: float, sigma: float) -> Tensor:
        """The clean latent that the output stands for; all tensors of one shape."""

    def spacing(self, zero_terminal_snr: bool) -> str | None:
        """The timestep spacing where the experiment names none; None for the component folder's."""

    def spacing_source(self, zero_terminal_snr: bool) -> str:
        """Why, in words."""


@dataclass(frozen=True)
class Epsilon:
    """The output is the noise."""

    name: str = "epsilon"

    def x0(self, x: Tensor, output: Tensor, alpha: float, sigma: float) -> Tensor:
        return (x - sigma * output) / alpha

    def spacing(self, zero_terminal_snr: bool) -> str | None:
        return None

    def spacing_source(self, zero_terminal_snr: bool) -> str:
        return "the component configs"


@dataclass(frozen=True)
class VPrediction:
    """The output is v = alpha noise - sigma x0."""

    name: str = "v_prediction"

    def x0(self, x: Tensor, output: Tensor, alpha: float, sigma: float) -> Tensor:
        return alpha * x - sigma * output

    def spacing(self, zero_terminal_snr: bool) -> str | None:
        """Zero terminal SNR needs trailing spacing, or the last timestep is never visited (Lin, §3.3)."""
        return "trailing" if zero_terminal_snr else None

    def spacing_source(self, zero_terminal_snr: bool) -> str:
        return (
            "zero terminal SNR starts at the last timestep" if zero_terminal_snr else "the component configs"
        )


MODES: dict[str, Mode] = {mode.name: mode for mode in (Epsilon(), VPrediction())}
