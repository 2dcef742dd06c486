"""The UNet's output as what it stands for: clean latents x0, and noise, in x = alpha x0 + sigma noise.

There alpha^2 + sigma^2 = 1, and a noise level is sigma / alpha. For v, see Salimans & Ho (2022), appendix D.
"""

from torch import Tensor

CLEAN = "sample"  # the prediction type of a model that predicts x0 itself, as diffusers calls it


def sampled_type(prediction_type: str) -> str:
    """Return the type in which a sampler goes on: v in the place of x0, as v is exact at any noise level."""
    return "v_prediction" if prediction_type == CLEAN else prediction_type


def sampled(x: Tensor, output: Tensor, level: float, prediction_type: str) -> Tensor:
    """Return the UNet's output for x in the type in which a sampler goes on."""
    alpha, sigma = alpha_and_sigma(level)
    return (alpha * x - output) / sigma if prediction_type == CLEAN else output


def alpha_and_sigma(level: float) -> tuple[float, float]:
    """Return the shares of picture and noise in latents of a noise level."""
    alpha = (1 + level**2) ** -0.5
    return alpha, level * alpha


def clean(x: Tensor, output: Tensor, level: float, prediction_type: str) -> Tensor:
    """Return the clean latents that an output for x stands for."""
    alpha, sigma = alpha_and_sigma(level)
    if prediction_type == "v_prediction":
        return alpha * x - sigma * output
    return (x - sigma * output) / alpha


def clean_slope(level: float, prediction_type: str) -> float:
    """Return by how much the clean latents change with the output."""
    alpha, sigma = alpha_and_sigma(level)
    return -sigma if prediction_type == "v_prediction" else -sigma / alpha


def noise_slope(level: float, prediction_type: str) -> float:
    """Return by how much the noise changes with the output."""
    return alpha_and_sigma(level)[0] if prediction_type == "v_prediction" else 1.0
