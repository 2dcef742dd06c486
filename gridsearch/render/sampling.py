"""How the noise becomes a picture: prediction type, noise schedule and sampler.

A model trained to predict epsilon and one trained to predict v (Salimans & Ho 2022) differ in what their
output means; a v model may also have been trained down to zero terminal SNR (Lin et al. 2023, "Common
diffusion noise schedules and sample steps are flawed"), where the first step starts from pure noise.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Every setting that decides what an image looks like, beside weights, prompt and seed."""

    prediction_type: str  # "epsilon" or "v_prediction"
    zero_terminal_snr: bool
    timestep_spacing: str | None  # None: as the component folder's scheduler says
    sampler: str
    steps: int
    cfg: float
    cfg_rescale: float
    unconditional: str  # "zeros" or "empty", for an empty negative prompt
    width: int  # px
    height: int  # px


@dataclass(frozen=True)
class Mode:
    """What a prediction type and its noise schedule ask of a diffusers scheduler."""

    prediction_type: str
    rescale_betas_zero_snr: bool
    timestep_spacing: str | None


def epsilon(sampling: Sampling) -> Mode:
    """Epsilon says nothing at zero SNR (x0 = (x - sigma eps) / alpha, alpha = 0), so it is never rescaled."""
    return Mode("epsilon", False, sampling.timestep_spacing)


def v_prediction(sampling: Sampling) -> Mode:
    """Zero terminal SNR needs trailing spacing, or the last timestep is never visited (Lin et al., §3.3)."""
    spacing = "trailing" if sampling.zero_terminal_snr else None
    return Mode("v_prediction", sampling.zero_terminal_snr, sampling.timestep_spacing or spacing)


MODES = {"epsilon": epsilon, "v_prediction": v_prediction}
