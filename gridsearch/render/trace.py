"""The denoising trace: what the UNet believed the picture to be at each of its calls, in a few numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Trace:
    """One image's predicted clean latents x0, call by call.

    Attributes:
        level: noise to signal, sigma / alpha, of what the UNet was given: (calls,).
        mean, std: over all values of x0, in units of the latents: (calls,).
        autocorrelation: of x0 with itself one latent pixel on, right and down: near 1 for a picture, 0 for
            white noise, nan for a constant: (calls,).
        finite: whether all values of x0 are: (calls,) bool.
    """

    level: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    autocorrelation: np.ndarray
    finite: np.ndarray

    def __len__(self) -> int:
        return len(self.level)


def statistics(x0: Tensor) -> Tensor:
    """Mean, standard deviation, autocorrelation and finiteness of latents (N, C, h, w): (N, 4), float32.

    The autocorrelation is 1 - E[(a - b)^2] / (2 var) over horizontal and vertical neighbours a, b.
    """
    x0 = x0.float()
    var, mean = torch.var_mean(x0, dim=(1, 2, 3))
    right = (x0[..., :, 1:] - x0[..., :, :-1]).square().mean(dim=(1, 2, 3))
    down = (x0[..., 1:, :] - x0[..., :-1, :]).square().mean(dim=(1, 2, 3))
    correlation = 1 - (right + down) / (4 * var)
    finite = torch.isfinite(var) & torch.isfinite(mean)
    return torch.stack([mean, var.sqrt(), correlation, finite.float()], dim=1)


class Recorder:
    """Keeps the statistics of a batch on its device, so that writing them down waits for nothing."""

    def __init__(self, images: int) -> None:
        self._rows = list(range(images))  # which image each row of the batch is
        self._seen: list[tuple[float, Tensor]] = []
        self._images = images

    def see(self, call: int, level: float, x0: Tensor) -> None:
        self._seen.append((level, self._spread(statistics(x0))))

    def kept(self, call: int) -> Sequence[int] | None:
        return None

    def _spread(self, values: Tensor) -> Tensor:
        spread = values.new_full((self._images, *values.shape[1:]), float("nan"))
        spread[self._rows] = values
        return spread

    def traces(self) -> list[Trace]:
        levels = np.array([level for level, _ in self._seen])
        table = torch.stack([row for _, row in self._seen], dim=1).cpu().double().numpy()  # (N, calls, 4)
        found = []
        for image in table:
            calls = int((~np.isnan(image[:, 3])).sum())
            mean, std, correlation, finite = image[:calls].T
            found.append(Trace(levels[:calls], mean, std, correlation, finite > 0))
        return found
