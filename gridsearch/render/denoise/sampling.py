"""The settings of an image, and the prediction types.

The outputs of a model that predicts epsilon and of one that predicts v (Salimans & Ho 2022, appendix D) mean
different things. A v model may also have been trained down to zero terminal SNR (Lin et al. 2023, "Common
diffusion noise schedules and sample steps are flawed"), where the first step starts from pure noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings are compared where torch is not loaded
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """All settings that decide what an image looks like, beside weights, prompt and seed.

    Attributes:
        prediction_type: "epsilon" or "v_prediction".
        timestep_spacing: None for what the component folder's scheduler says.
        pag_scale: strength of perturbed-attention guidance (Ahn et al. 2024); 0 is without.
        unconditional: "zeros" or "empty", for an empty negative prompt.
        clip_skip: the layer of the text encoders that is read, counted from the last as web UIs do; SDXL was
            trained with 2.
        rng: the source of random numbers: "cpu" is torch's CPU generator, "gpu" is CUDA's.
        width, height: of the image, px; the sizes after them, in px, are those that SDXL is told of
            (Podell et al. 2023, section 2.2).
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


# Settings that move the predictions along a trajectory: only images of the same guidance can be compared.
GUIDANCE = ("cfg", "cfg_rescale", "pag_scale")


def is_guided(sampling: Sampling) -> bool:
    """Return whether the negative prompt is used at all: at a guidance of 1 it has no weight."""
    return sampling.cfg > 1


def calls_of(sampling: Sampling) -> int:
    """Return how many latents the UNet is given for each image in a step."""
    return 1 + is_guided(sampling) + (sampling.pag_scale > 0)


@dataclass(frozen=True)
class Mode:
    """A prediction type. A noisy latent is x = alpha x0 + sigma noise, with alpha^2 + sigma^2 = 1.

    Attributes:
        x0: (x, output, alpha, sigma) -> the clean latent that the model's output stands for.
        trailing: whether zero terminal SNR makes the timestep spacing trailing, without which the last
            timestep is never visited (Lin et al. 2023, section 3.3).
    """

    name: str
    x0: Callable[[Tensor, Tensor, float, float], Tensor]
    trailing: bool

    def spacing(self, zero_terminal_snr: bool) -> str | None:
        """Return the timestep spacing where the experiment names none; None for the component folder's."""
        return "trailing" if self.trailing and zero_terminal_snr else None

    def spacing_source(self, zero_terminal_snr: bool) -> str:
        """Return the reason for it in words."""
        return (
            "zero terminal SNR starts at the last timestep"
            if self.spacing(zero_terminal_snr)
            else "the component configs"
        )


EPSILON = Mode("epsilon", lambda x, output, alpha, sigma: (x - sigma * output) / alpha, trailing=False)
V_PREDICTION = Mode("v_prediction", lambda x, output, alpha, sigma: alpha * x - sigma * output, trailing=True)
MODES = {mode.name: mode for mode in (EPSILON, V_PREDICTION)}
