"""Rectified flow: what is known exactly of its trajectories, and diffusers' and ComfyUI's rules."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from scipy import stats
from torch import nn

from gridsearch.render.denoise.flow import flow_sigmas
from gridsearch.render.denoise.loop import denoise
from gridsearch.render.denoise.sampling import SAMPLERS, least_cfg
from gridsearch.render.denoise.schedulers import noise_level, scheduler_for
from gridsearch.render.prompt.encode import Conditioning
from tests.helpers.denoising import SDXL, Seen
from tests.helpers.settings import sampling

FLOWING = [name for name, known in SAMPLERS.items() if known.flow]
SEEDS = [3, 4]
TEXT = Conditioning(torch.zeros(2, 77, 80), torch.zeros(2, 48), None)
MEAN = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
NOISE = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS])


class Normal(nn.Module):
    """Knows that each latent is normal of MEAN and `spread`, and predicts the exact velocity at 1000 sigma.

    Along the trajectories (x - (1 - sigma) MEAN) / deviation(sigma) stays what it was: the noise.
    """

    device, dtype, config = torch.device("cpu"), torch.float32, SimpleNamespace(in_channels=4)

    def __init__(self, spread, kind="flow"):
        super().__init__()
        self.spread, self.kind, self.told = spread, kind, []

    def forward(self, x, timestep, **_):
        self.told.append(float(timestep))
        sigma = float(timestep) / 1000
        variance = ((1 - sigma) * self.spread) ** 2 + sigma**2
        off = (x - (1 - sigma) * MEAN) / variance
        noise, x0 = sigma * off, MEAN + (1 - sigma) * self.spread**2 * off
        length = ((1 - sigma) ** 2 + sigma**2) ** 0.5
        v = ((1 - sigma) * noise - sigma * x0) / length
        return ({"flow": noise - x0, "epsilon": noise, "v_prediction": v}[self.kind],)


@torch.no_grad()
def drawn(settings, spread=0.0, kind="flow"):
    unet, seen = Normal(spread, kind), Seen()
    found = denoise(unet, scheduler_for(settings, SDXL), TEXT, SEEDS, settings, 8, seen)
    return found, unet, seen


def flow(sampler="euler", steps=8, **changes):
    return sampling("flow", sampler, steps=steps, cfg=least_cfg(sampler), **changes)


@pytest.mark.parametrize("sampler", FLOWING)
def test_a_known_picture_is_found_in_this_mode_only(sampler):
    for changes in ({}, {"timestep_spacing": "linspace"}, {"schedule": "beta", "shift": 1.0}):
        found, unet, seen = drawn(flow(sampler, **changes))
        assert (found - MEAN).abs().max() < 1e-5
        assert max((x0 - MEAN).abs().max() for x0 in seen.believed[1:]) < 1e-5
        assert unet.told[0] == pytest.approx(1000, abs=1e-2)
        assert len(unet.told) == SAMPLERS[sampler].calls(8)
    for other in ("epsilon", "v_prediction"):
        settings = replace(flow(sampler), prediction_type=other, shift=None, timestep_spacing="trailing")
        assert (drawn(settings)[0] - MEAN).abs().max() > 0.01
        assert (drawn(flow(sampler), kind=other)[0] - MEAN).abs().max() > 0.01


def test_the_trajectory_of_normal_data_is_found_with_the_order_of_the_sampler():
    """The noise z leads to MEAN + spread z; with four times the steps, order p leaves 4^-p of the error."""
    goal, error = MEAN + 0.5 * NOISE, {}
    for sampler in ("euler", "ddim", "heun", "dpmpp_2m", "unipc"):
        error[sampler] = [(drawn(flow(sampler, steps), 0.5)[0] - goal).abs().max() for steps in (10, 40)]
    assert torch.equal(error["euler"][1], error["ddim"][1])
    gain = {sampler: float(coarse / fine) for sampler, (coarse, fine) in error.items()}
    assert gain["euler"] == pytest.approx(4, abs=0.5)
    assert 12 < gain["heun"] < 20
    assert gain["dpmpp_2m"] > 4
    assert gain["unipc"] > 16
    assert (drawn(flow("unipc", 120), 0.5)[0] - goal).abs().max() < 1e-3


def test_levels_are_shifted_as_in_comfyui_and_the_unet_is_told_1000_of_them():
    """sigma = shift t / (1 + (shift - 1) t), by hand for four steps and a shift of 3."""
    assert flow_sigmas(flow(steps=4)) == pytest.approx([1, 0.9, 0.75, 0.5])
    assert flow_sigmas(flow(steps=4, shift=1.0)) == pytest.approx([1, 0.75, 0.5, 0.25])
    assert drawn(flow(steps=4))[1].told == pytest.approx([1000, 900, 750, 500])
    assert drawn(flow("heun", steps=3, shift=1.0))[1].told == pytest.approx(
        [1000, *[2000 / 3] * 2, *[1000 / 3] * 2]
    )
    table = (np.arange(1000) + 1) / 1000  # ComfyUI's, from which its schedule "beta" takes the nearest
    nearest = table[np.rint(stats.beta.ppf(1 - np.arange(9) / 9, 0.6, 0.6) * 999).astype(int)]
    assert flow_sigmas(flow(steps=9, schedule="beta", shift=1.0)) == pytest.approx(nearest, abs=5e-4)
    levels = [noise_level(scheduler_for(flow(steps=4), SDXL), call) for call in range(4)]
    assert levels == pytest.approx([4096, 9, 3, 1])


@pytest.mark.parametrize("shift", [1.0, 3.0, 6.5])
@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_euler_is_diffusers_scheduler_step_by_step(shift, spacing):
    found, _, seen = drawn(flow(steps=7, shift=shift, timestep_spacing=spacing), 0.5)
    theirs, unet, x = FlowMatchEulerDiscreteScheduler(shift=shift), Normal(0.5), NOISE
    theirs.set_timesteps(7, sigmas=np.linspace(1, 1 / 7, 7) if spacing == "trailing" else None)
    believed = []
    for i, timestep in enumerate(theirs.timesteps):
        velocity = unet(x, timestep)[0]
        believed.append(x - theirs.sigmas[i] * velocity)
        x = theirs.step(velocity, timestep, x, return_dict=False)[0]
    torch.testing.assert_close(found, x, atol=2e-6, rtol=0)
    for ours, wanted in zip(seen.believed[1:], believed[1:], strict=True):
        torch.testing.assert_close(ours, wanted, atol=2e-6, rtol=0)


@pytest.mark.parametrize("sampler", ["heun", "euler_a", "lcm"])
def test_other_samplers_are_comfyuis_rules_in_float64(sampler):
    """k-diffusion's Heun, `sample_euler_ancestral_RF` at eta 1, and `sample_lcm`, with x0 = x - sigma v."""
    found, _, _ = drawn(flow(sampler, steps=6), 0.5)
    streams = [torch.Generator().manual_seed(seed) for seed in SEEDS]

    def new_noise():
        return torch.stack([torch.randn(4, 8, 8, generator=stream) for stream in streams]).double()

    def velocity(x, sigma):
        return Normal(0.5)(x, 1000 * sigma)[0]

    x, sigmas = new_noise(), [*flow_sigmas(flow(steps=6)), 0.0]
    for sigma, goal in itertools.pairwise(sigmas):
        v = velocity(x, sigma)
        x0 = x - sigma * v
        if goal == 0:
            x = x0
        elif sampler == "heun":
            x = x + (goal - sigma) * (v + velocity(x + (goal - sigma) * v, goal)) / 2
        elif sampler == "lcm":
            x = goal * new_noise() + (1 - goal) * x0
        else:
            down = goal * (1 + (goal / sigma - 1))
            more = (goal**2 - down**2 * (1 - goal) ** 2 / (1 - down) ** 2) ** 0.5
            x = down / sigma * x + (1 - down / sigma) * x0
            x = (1 - goal) / (1 - down) * x + more * new_noise()
    torch.testing.assert_close(found.double(), x, atol=1e-5, rtol=0)
