"""Each sampler finds a picture that the UNet knows exactly, and only in the mode that the UNet speaks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from gridsearch.render.denoise.loop import denoise
from gridsearch.render.denoise.sampling import SAMPLERS, least_cfg, usual_spacing
from gridsearch.render.denoise.schedulers import aligned_levels, noise_level, scheduler_for
from gridsearch.render.prompt.encode import Conditioning
from tests.helpers.denoising import SDXL, Seen
from tests.helpers.settings import sampling

KNOWN = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
LEFT = {"tcd": 0.15}  # it ends at the first timestep's noise, as its authors' code does
TEXT = Conditioning(torch.zeros(2, 77, 80), torch.zeros(2, 48), None)


class Oracle(nn.Module):
    """Knows the clean latents, and says exactly what a UNet of its kind would have to say."""

    device, dtype, config = torch.device("cpu"), torch.float32, SimpleNamespace(in_channels=4)

    def __init__(self, scheduler, kind):
        super().__init__()
        self.scheduler, self.kind, self.calls = scheduler, kind, 0

    def forward(self, x, timestep, **_):
        level = noise_level(self.scheduler, self.calls)
        self.calls += 1
        alpha = (1 + level**2) ** -0.5
        sigma = level * alpha
        noise = (x - alpha * KNOWN) / sigma
        v = alpha * noise - sigma * KNOWN
        return ({"epsilon": noise, "v_prediction": v, "sample": KNOWN}[self.kind],)


@torch.no_grad()
def error(settings, kind):
    scheduler = scheduler_for(settings, SDXL)
    seen = Seen()
    found = denoise(Oracle(scheduler, kind), scheduler, TEXT, [3, 4], settings, 8, seen)
    return (found - KNOWN).abs().max().item(), [(x0 - KNOWN).abs().max().item() for x0 in seen.believed]


@pytest.mark.parametrize(
    "sampler",
    [pytest.param(name, marks=[pytest.mark.night] if "sde_karras" in name else []) for name in SAMPLERS],
)
@pytest.mark.parametrize(
    ("mode", "to_zero", "spacing"),
    [
        ("epsilon", False, "linspace"),
        ("epsilon", False, "trailing"),
        ("v_prediction", False, "linspace"),
        ("v_prediction", True, "trailing"),
    ],
)
def test_a_known_picture_is_found_in_the_matching_mode_only(sampler, mode, to_zero, spacing):
    other = {"epsilon": "v_prediction", "v_prediction": "epsilon"}[mode]
    cfg = least_cfg(sampler)
    settings = sampling(mode, sampler, steps=10, cfg=cfg, zero_terminal_snr=to_zero, timestep_spacing=spacing)
    found, believed = error(settings, mode)
    ends = LEFT.get(sampler, 1e-3)
    assert found < ends
    # at the largest noise x0 is a small difference of large numbers
    assert max(believed[1:]) < 1e-3
    wrong, _ = error(settings, other)
    assert wrong > ends


@pytest.mark.parametrize("sampler", ["euler", "ddim", "lcm", "heun"])
@pytest.mark.parametrize(("steps", "to_zero"), [(1, False), (1, True), (4, False)])
def test_a_model_that_predicts_the_picture_itself_finds_it_in_one_step_or_in_few(sampler, steps, to_zero):
    settings = sampling("sample", sampler, steps=steps, cfg=1.0, zero_terminal_snr=to_zero)
    settings = replace(settings, timestep_spacing=usual_spacing("sample", to_zero)[0])
    found, believed = error(settings, "sample")
    assert found < 1e-3
    assert max(believed) < 1e-3
    assert error(settings, "epsilon")[0] > 0.1


# Exponential, Beta and Karras as in A1111 1.10 (modules/sd_schedulers.py); Align Your Steps as A1111 makes
# ten steps of the paper's table.
LOW, HIGH = 0.029167533, 14.614647
LEVELS = {
    "exponential": np.exp(np.linspace(np.log(HIGH), np.log(LOW), 10)),
    "beta": LOW + (HIGH - LOW) * stats.beta.ppf(np.linspace(1, 0, 10), 0.6, 0.6),
    "align_your_steps": (
        *(14.615, 5.963397, 3.338965, 1.855046, 1.102326, 0.674959),
        *(0.431142, 0.260621, 0.122519, 0.029),
    ),
    "karras": (HIGH ** (1 / 7) + np.linspace(0, 1, 10) * (LOW ** (1 / 7) - HIGH ** (1 / 7))) ** 7,
}


@pytest.mark.parametrize("sampler", [name for name, known in SAMPLERS.items() if known.free])
def test_a_noise_schedule_has_the_levels_of_a1111_and_a_known_picture_is_found_along_it(sampler):
    for schedule, levels in LEVELS.items():
        settings = sampling(sampler=sampler, steps=10, timestep_spacing="linspace", schedule=schedule)
        scheduler = scheduler_for(settings, SDXL)
        found = scheduler.sigmas[scheduler.sigmas > 0].unique().flip(0)
        np.testing.assert_allclose(found, levels, rtol=2e-5)
        assert error(replace(settings, cfg=1.0), "epsilon")[0] < 1e-3
    assert aligned_levels(1).tolist() == pytest.approx([14.615])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_a_sampler_calls_the_unet_as_often_as_it_is_said_to(sampler, steps):
    scheduler = scheduler_for(sampling("v_prediction", sampler, steps=steps), SDXL)
    assert len(scheduler.timesteps) == SAMPLERS[sampler].calls(steps)


def test_epsilon_is_never_rescaled_to_zero_snr_and_v_starts_at_the_last_timestep():
    for sampler in SAMPLERS:
        epsilon = scheduler_for(sampling("epsilon", sampler, steps=20), SDXL)
        assert 10 < noise_level(epsilon, 0) < 15
        v = scheduler_for(sampling("v_prediction", sampler, timestep_spacing="trailing"), SDXL)
        assert v.timesteps[0].item() == pytest.approx(999)
        assert noise_level(v, 0) == pytest.approx(4096, rel=1e-3)
