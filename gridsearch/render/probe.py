"""The probe: how well weights find a reference again under noise, and whether paler or stronger than it is.

A few UNet calls tell it, where drawing takes dozens. The noise stays the same, so that only the weights make
a difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gridsearch.render.cases import Case
from gridsearch.render.decode import encode_picture
from gridsearch.render.denoise.hires import passes
from gridsearch.render.denoise.loop import size_ids
from gridsearch.render.denoise.noise import CpuRandn, on_device
from gridsearch.render.denoise.noised import (
    Level,
    guided_clean,
    levels_at,
    noised,
    relative_error,
    relative_spread,
)
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import conditioning
from gridsearch.render.pipeline import Renderer
from gridsearch.render.placement import in_parts

PROBE_NOISE = 2**33  # beyond the seeds of web UIs: not the noise from which the reference was drawn


@dataclass(frozen=True)
class Probe:
    """References with their noise, to be put to any weights."""

    cases: tuple[Case, ...]
    latents: Tensor  # (N, C, h, w) float32, of the references
    noise: Tensor  # (N, C, h, w) float32, variance 1

    def part(self, rows: slice) -> "Probe":
        """Return some of the references, as a probe."""
        return Probe(self.cases[rows], self.latents[rows], self.noise[rows])


@torch.no_grad()
def make_probe(renderer: Renderer, pictures: Sequence[np.ndarray], cases: Sequence[Case]) -> Probe:
    """Encode references, uint8 (H, W, 3) of one size, with the live VAE; their noise is always the same."""
    latents = torch.cat([encode_picture(renderer.pipe.vae, picture) for picture in pictures]).float()
    sources = [CpuRandn((case.seed + PROBE_NOISE) % 2**64) for case in cases]
    noise = torch.stack([source.draw(tuple(latents.shape[1:])) for source in sources])
    return Probe(tuple(cases), latents, on_device(noise, latents.device, torch.float32))


def found_by(renderer: Renderer, probe: Probe, at: Level, sampling: Sampling) -> Tensor:
    """Return the clean latents (N, C, h, w) that the live weights find in the noised references, float32.

    They can be differentiated by the UNet's weights, where those ask for it.

    Args:
        sampling: of a trial: its guidance, and the prediction type that its merge is drawn with.
    """
    unet = renderer.pipe.unet
    x = noised(probe.latents, probe.noise, at, sampling.prediction_type)
    text = conditioning(renderer, probe.cases, sampling)
    sizes = size_ids(unet, passes(sampling)[-1].sampling, len(text.tokens))
    return guided_clean(unet, x, at, text, sizes, sampling)


@torch.no_grad()
def answers(
    renderer: Renderer, probe: Probe, sampling: Sampling, timesteps: Sequence[int], batch: int | None = None
) -> Tensor:
    """Return what the live weights find at each timestep, (N, timesteps, C, h, w) float32.

    Args:
        timesteps: 0 to 999, at each of which the UNet is called once for every branch of its guidance.
        batch: references per call; None for as many as fit.
    Raises:
        torch.OutOfMemoryError: not even one reference fits.
    """
    levels = levels_at(renderer.scheduler_config, sampling, timesteps)

    def of_part(rows: slice) -> list[Tensor]:
        part = probe.part(rows)
        return [*torch.stack([found_by(renderer, part, at, sampling) for at in levels], 1)]

    return torch.stack(in_parts(renderer.batches.size(sampling, batch), len(probe.cases), of_part))


def ask(
    renderer: Renderer,
    probe: Probe,
    expected: Tensor,
    sampling: Sampling,
    timesteps: Sequence[int],
    batch: int | None = None,
) -> np.ndarray:
    """Return relative error and spread of what the live weights find, (N, timesteps, 2).

    Args:
        expected: what it is compared with, as `answers` returns it.
        timesteps, batch: as in `answers`.
    Raises:
        torch.OutOfMemoryError: not even one reference fits.
    """
    found = answers(renderer, probe, sampling, timesteps, batch)
    flat = found.flatten(0, 1), expected.flatten(0, 1)
    values = torch.stack([relative_error(*flat), relative_spread(*flat)], -1)
    return values.unflatten(0, found.shape[:2]).cpu().numpy()
