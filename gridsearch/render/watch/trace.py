"""The denoising trace: a few statistics of the clean picture that the UNet predicts at each call."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Trace:
    """Statistics of one image's predicted clean latents x0, call by call.

    Attributes:
        level: noise to signal, sigma / alpha, of the UNet's input: (calls,).
        mean, std: over all values of x0, in units of the latents: (calls,).
        autocorrelation: of x0 with itself shifted by one latent pixel, right and down: near 1 for a picture,
            0 for white noise, nan for a constant: (calls,).
        finite: whether all values of x0 are finite: (calls,) bool.
    """

    level: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    autocorrelation: np.ndarray
    finite: np.ndarray

    def __len__(self) -> int:
        return len(self.level)

    def as_row(self) -> dict[str, list]:
        """Return the trace as plain lists with six digits, to be stored."""
        return {name: [_short(x) for x in values.tolist()] for name, values in vars(self).items()}


def trace_of(row: Mapping[str, Sequence]) -> Trace:
    """Return the trace from a stored row of `Trace.as_row`."""
    numbers = {name: np.array(row[name], dtype=float) for name in ("level", "mean", "std", "autocorrelation")}
    return Trace(**numbers, finite=np.array(row["finite"], dtype=bool))


def _short(value: float | bool) -> float | bool | None:
    if isinstance(value, bool):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def statistics(x0: Tensor) -> Tensor:
    """Return mean, deviation, autocorrelation and finiteness of latents (N, C, h, w): (N, 4), float32.

    The autocorrelation is 1 - E[(a - b)^2] / (2 var) over horizontal and vertical neighbours a, b.
    """
    x0 = x0.float()
    var, mean = torch.var_mean(x0, dim=(1, 2, 3))
    right = (x0[..., :, 1:] - x0[..., :, :-1]).square().mean(dim=(1, 2, 3))
    down = (x0[..., 1:, :] - x0[..., :-1, :]).square().mean(dim=(1, 2, 3))
    correlation = 1 - (right + down) / (4 * var)
    finite = torch.isfinite(var) & torch.isfinite(mean)
    return torch.stack([mean, var.sqrt(), correlation, finite.float()], dim=1)
