"""The UNet's output as what it stands for: clean latents x0, and noise, in x = alpha x0 + sigma noise.

A noise level is sigma / alpha. alpha^2 + sigma^2 = 1, and with rectified flow alpha + sigma = 1 (Liu et al.
2022). For v, see Salimans & Ho (2022), appendix D; the velocity of a flow is noise - x0.
"""

from torch import Tensor

from gridsearch.checkpoint.prediction import FLOW

CLEAN = "sample"  # the prediction type of a model that predicts x0 itself, as diffusers calls it


def sampled_type(prediction_type: str) -> str:
    """Return the type in which a sampler goes on: v in the place of x0, as v is exact at any noise level."""
    return "v_prediction" if prediction_type == CLEAN else prediction_type


def sampled(x: Tensor, output: Tensor, level: float, prediction_type: str) -> Tensor:
    """Return the UNet's output for x in the type in which a sampler goes on."""
    alpha, sigma = alpha_and_sigma(level, prediction_type)
    return (alpha * x - output) / sigma if prediction_type == CLEAN else output


def alpha_and_sigma(level: float, prediction_type: str) -> tuple[float, float]:
    """Return the shares of picture and noise in latents of a noise level."""
    alpha = 1 / (1 + level) if prediction_type == FLOW else (1 + level**2) ** -0.5
    return alpha, level * alpha


def clean(x: Tensor, output: Tensor, level: float, prediction_type: str) -> Tensor:
    """Return the clean latents that an output for x stands for."""
    alpha, sigma = alpha_and_sigma(level, prediction_type)
    if prediction_type == "v_prediction":
        return alpha * x - sigma * output
    return x - sigma * output if prediction_type == FLOW else (x - sigma * output) / alpha


def clean_slope(level: float, prediction_type: str) -> float:
    """Return by how much the clean latents change with the output."""
    alpha, sigma = alpha_and_sigma(level, prediction_type)
    return -sigma / alpha if prediction_type == "epsilon" else -sigma


def noise_slope(level: float, prediction_type: str) -> float:
    """Return by how much the noise changes with the output."""
    return 1.0 if prediction_type == "epsilon" else alpha_and_sigma(level, prediction_type)[0]
