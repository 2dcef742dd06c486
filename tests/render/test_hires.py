"""Hires fix: A1111's steps and noise, diffusers' second pass, and nothing where there is nothing to do."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    UniPCMultistepScheduler,
)
from torch import nn
from torch.nn.functional import interpolate

from gridsearch.render.cases import Case
from gridsearch.render.decode import encode_picture, enlarged
from gridsearch.render.denoise.hires import OF_LATENTS, hires_said, hires_text, passes
from gridsearch.render.denoise.loop import Start, denoise
from gridsearch.render.denoise.noise import CpuRandn
from gridsearch.render.denoise.sampling import SAMPLERS, least_cfg
from gridsearch.render.denoise.schedulers import noise_level, scheduler_for
from gridsearch.render.draw import draw
from gridsearch.render.pictures import parameters_text, read_parameters
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement, seconds_at
from gridsearch.render.prompt.encode import Conditioning
from gridsearch.render.watch import Abort, Recorder, WatchSettings
from tests.helpers.denoising import SDXL, Seen
from tests.helpers.settings import sampling

CASES = [Case("p1", "a circle", "", 101), Case("p2", "a star", "a moon", 7)]
HIRES = {"hires_scale": 1.5, "hires_steps": 4, "hires_denoise": 0.5}


@pytest.fixture(scope="module")
def renderer(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


def of(renderer, settings, cases=CASES[:1], batch=1, **watch):
    return [*draw(renderer, cases, settings, batch, WatchSettings(**watch))]


# -- steps, sizes, noise


@pytest.mark.parametrize(
    ("steps", "denoise", "of_all", "calls"),
    [
        (20, 0.4, 50, 20),  # int(20 / 0.4), of which all 20 are done
        (0, 0.7, 40, 28),  # as many as in the first pass
        (15, 0.7, 21, 15),
        (20, 1.0, 20, 20),  # int(20 / 0.999)
        (20, 0.001, 1000, 20),
        (20, 0.0, 20, 0),
    ],
)
def test_the_last_steps_of_a_longer_schedule_are_done(steps, denoise, of_all, calls):
    asked = sampling(
        steps=28, width=832, height=1216, hires_scale=1.35, hires_steps=steps, hires_denoise=denoise
    )
    first, second = passes(replace(asked, original_height=1536))
    assert (first.sampling.steps, first.skipped, first.calls) == (28, 0, 28)
    assert (second.sampling.steps, second.skipped, second.calls) == (of_all, of_all - calls, calls)
    assert second.size == (1120, 1640)  # 1123.2 and 1641.6, in whole latents
    told = second.sampling
    assert (told.original_width, told.target_width, told.target_height) == (1120, 1120, 1640)
    assert told.original_height == 1536  # it was another size than the picture's already
    assert passes(sampling()) == (first.__class__(sampling()),)


class Known(nn.Module):
    """Knows the clean latents, remembers its first input, and predicts as its kind of UNet has to."""

    device, dtype, config = torch.device("cpu"), torch.float32, SimpleNamespace(in_channels=4)

    def __init__(self, scheduler, kind, x0, first):
        super().__init__()
        self.scheduler, self.kind, self.x0, self.call, self.inputs = scheduler, kind, x0, first, []

    def forward(self, x, timestep, **_):
        level = noise_level(self.scheduler, self.call)
        alpha = 1 / (1 + level) if self.kind == "flow" else (1 + level**2) ** -0.5
        noise = (x - alpha * self.x0) / (level * alpha)
        self.inputs.append((x, alpha, level * alpha))
        self.call += 1
        v = alpha * noise - level * alpha * self.x0
        return ({"epsilon": noise, "v_prediction": v, "flow": noise - self.x0}[self.kind],)


@pytest.mark.parametrize("kind", ["epsilon", pytest.param("v_prediction", marks=pytest.mark.night), "flow"])
def test_a_second_pass_begins_with_the_noise_of_its_level_and_seed_for_each_sampler(kind):
    """Which is alpha x0 + sigma noise, the noise being the first that the seed gives for this size."""
    x0 = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    text, seeds = Conditioning(torch.zeros(2, 77, 80), torch.zeros(2, 48), None), [3, 4]
    noise = torch.stack([CpuRandn(seed).draw((4, 8, 8)) for seed in seeds]).double()
    for sampler in [name for name, one in SAMPLERS.items() if one.flow or kind != "flow"]:
        hires = {"hires_scale": 1.0, "hires_steps": 6, "hires_denoise": 0.5, "zero_terminal_snr": False}
        _, second = passes(sampling(kind, sampler, steps=9, cfg=least_cfg(sampler), **hires))
        scheduler = scheduler_for(second.sampling, SDXL)
        unet = Known(scheduler, kind, x0, second.skipped * scheduler.order)
        with torch.no_grad():
            found = denoise(
                unet, scheduler, text, seeds, second.sampling, 8, Seen(), Start(x0, second.skipped)
            )
        x, alpha, sigma = unet.inputs[0]
        wanted = alpha * x0.double() + sigma * noise
        torch.testing.assert_close(x.double(), wanted, atol=1e-5, rtol=1e-5, msg=sampler)
        assert len(unet.inputs) == second.calls == SAMPLERS[sampler].calls(6)
        assert (found - x0).abs().max() < (0.15 if sampler == "tcd" else 1e-3), sampler


THEIRS = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "dpmpp_sde": (DPMSolverSDEScheduler, {"noise_sampler_seed": 101}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 3}),
}


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        pytest.param(kind, name, marks=[] if (kind, name) in DAY else [pytest.mark.night])
        for DAY in [{("v_prediction", "euler_a")}]
        for kind in ("epsilon", "v_prediction")
        for name in THEIRS
    ],
)
def test_the_second_pass_is_that_of_diffusers_img2img(renderer, plain, kind, sampler):
    """diffusers does the last int(steps x strength) of its steps: of 8 at strength 0.5 the last 4."""
    cls, options = THEIRS[sampler]
    plain.scheduler = cls.from_config(renderer.scheduler_config, prediction_type=kind, **options)
    asked = {"num_inference_steps": 4, "guidance_scale": 3.5, "prompt": "a circle"}
    seed = {"generator": torch.Generator("cpu").manual_seed(101)}
    latents = plain(**asked, **seed, width=64, height=64, output_type="latent").images
    again = StableDiffusionXLImg2ImgPipeline.from_pipe(plain)
    again.set_progress_bar_config(disable=True)
    seed["generator"].manual_seed(101)
    large = interpolate(latents, (12, 12), mode="bilinear", antialias=False)
    asked["num_inference_steps"] = 8
    theirs = again(**asked, **seed, image=large, strength=0.5, output_type="np").images[0]
    (ours,) = of(renderer, replace(sampling(kind, sampler, **HIRES), zero_terminal_snr=False))
    assert ours.pixels.shape == (96, 96, 3)
    assert np.array_equal(ours.pixels, (theirs * 255).round().astype(np.uint8))


# -- what is drawn


def test_scale_1_without_noise_is_the_plain_picture_bit_for_bit(renderer):
    latents = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    for upscaler in OF_LATENTS:
        assert torch.equal(enlarged(renderer.pipe.vae, latents, upscaler, 96, 64), latents)
    (plain,), (hires,) = (
        of(renderer, sampling(**more)) for more in ({}, {"hires_scale": 1.0, "hires_denoise": 0.0})
    )
    assert np.array_equal(plain.pixels, hires.pixels)


def test_upscalers_of_pictures_resize_what_was_decoded_and_what_is_not_finite_stays_so(renderer):
    vae = renderer.pipe.vae
    picture = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 15, np.ones((16, 16, 3), np.uint8))
    with torch.no_grad():
        latents = encode_picture(vae, picture).repeat(2, 1, 1, 1)
        latents[1] = float("nan")
        nearest, lanczos, none = (
            enlarged(vae, latents, name, 128, 128) for name in ("Nearest", "Lanczos", "None")
        )
    assert nearest.shape == (2, 4, 16, 16)
    assert torch.equal(lanczos[0], none[0])
    assert not torch.equal(nearest[0], none[0])
    assert all(one[1].isnan().all() and one[0].isfinite().all() for one in (nearest, lanczos, none))


@pytest.mark.night
def test_a_batch_draws_what_each_draws_alone_and_counts_the_calls_of_both_passes(renderer):
    settings, told = sampling("v_prediction", "euler_a", pag_scale=2.0, **HIRES | {"hires_scale": 1.0}), []
    together = of(renderer, settings, CASES, 2, on_call=lambda call, calls: told.append((call, calls)))
    assert told == [(call, 8) for call in range(1, 9)]
    (alone,) = of(renderer, settings, CASES[1:])
    assert np.abs(together[1].pixels.astype(int) - alone.pixels).max() <= 1
    assert [(drawn.made, drawn.calls, len(drawn.trace)) for drawn in together] == [(8, 8, 4)] * 2
    assert not np.array_equal(together[0].pixels, together[1].pixels)


@pytest.mark.night
def test_a_stopped_image_is_enlarged_and_not_drawn_again(renderer, monkeypatch):
    stop = Abort("noise", "it is hopeless", 2)

    def kept(self, call):
        if call != stop.call or self._watch.early_abort == 0:
            return None
        self.stops[0], self._ended[0], self._active = stop, self._now[0], [1]
        self._places = torch.tensor([1])
        return [1]

    monkeypatch.setattr(Recorder, "kept", kept)
    stopped, other = of(renderer, sampling(**HIRES), CASES, 2, early_abort=0.4)
    assert (stopped.made, stopped.calls, stopped.stop) == (3, 8, stop)
    assert stopped.pixels.shape == other.pixels.shape == (96, 96, 3)
    (alone,) = of(renderer, sampling(**HIRES), CASES[1:])
    assert np.abs(other.pixels.astype(int) - alone.pixels).max() <= 1


def test_the_second_pass_is_part_of_the_time_that_is_expected():
    """Twice as wide and high, each layer has four times the places, and attention sixteen times the pairs."""
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    }
    plain = seconds_at(1e12, shapes, sampling(steps=4, cfg=1.0), 1, "cuda")
    hires = sampling(steps=4, cfg=1.0, hires_scale=2.0, hires_steps=3, hires_denoise=0.5)
    overhead = 7 / 4 * plain
    assert seconds_at(1e12, shapes, hires, 1, "cuda") == pytest.approx(overhead)
    slow = [seconds_at(1.0, shapes, one, 1, "cuda") for one in (replace(hires, hires_scale=None), hires)]
    assert slow[1] / slow[0] == pytest.approx((4 + 3 * 4) / 4)


# -- in A1111's text


def test_what_is_written_is_read_back_and_off_is_not_said():
    asked = sampling(hires_scale=1.5, hires_steps=12, hires_denoise=0.45, hires_upscaler="Latent (bicubic)")
    text = parameters_text(CASES[0], asked, model="m", model_hash="", recipe="r", place="cpu")
    said = read_parameters(text).settings
    assert said["Hires upscale"] == "1.5"
    assert said["Hires upscaler"] == "Latent (bicubic)"
    found, _ = hires_said(said)
    assert found == {
        "hires_scale": "1.5",
        "hires_steps": "12",
        "hires_denoise": "0.45",
        "hires_upscaler": "Latent (bicubic)",
    }
    assert hires_text(sampling()) == {} == hires_said({"Denoising strength": "0.4"})[0]


def test_a_size_to_resize_to_is_a_scale_where_it_has_the_shape_of_the_first():
    found, names = hires_said({"Size": "832x1216", "Hires resize": "1248x1824", "Steps": "30"})
    assert (found["hires_scale"], found["hires_steps"]) == ("1.5", "30")
    assert "Hires resize" in names
    assert hires_said({"Size": "832x1216", "Hires resize": "1024x1024"}) == ({}, set())
