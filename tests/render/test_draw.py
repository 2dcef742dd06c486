"""Our images are those of a plain diffusers pipeline, and a seed draws the same picture in any company."""

from itertools import combinations
from pathlib import Path

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
    LCMScheduler,
    StableDiffusionXLPAGPipeline,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

from gridsearch.render.cases import Case
from gridsearch.render.decode import to_uint8
from gridsearch.render.denoise.noise import SOURCES, Brownian, CpuRandn, CudaRandn
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from tests.helpers import warm
from tests.helpers.settings import sampling

CASES = [Case("p1", "a circle", "", 101), Case("p2", "a star", "", 7), Case("p3", "a heart", "", 101)]


@pytest.fixture(scope="module")
def renderer(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


class AlongAPath(DPMSolverMultistepScheduler):
    """diffusers' scheduler, with the noise that k-diffusion and so A1111 gives DPM++ 2M SDE: seed 101's."""

    path = None

    def step(self, output, timestep, sample, generator=None, return_dict=True):
        if self.path is None:
            positive = self.sigmas[self.sigmas > 0]
            self.path = BrownianTreeNoiseSampler(sample, positive.min().item(), positive.max().item(), [101])
        now, following = self.sigmas[self._begin_index if self.step_index is None else self.step_index :][:2]
        noise = self.path(now, following) if following > 0 else torch.zeros_like(sample)
        return super().step(output, timestep, sample, variance_noise=noise, return_dict=return_dict)


# What a person would choose in plain diffusers.
KARRAS, SDE = {"use_karras_sigmas": True}, {"algorithm_type": "sde-dpmsolver++"}
CHOICES = {
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, KARRAS),
    "dpmpp_2m_sde": (AlongAPath, SDE),
    "dpmpp_2m_sde_karras": (AlongAPath, SDE | KARRAS),
    "dpmpp_sde": (DPMSolverSDEScheduler, {"noise_sampler_seed": 101}),
    "dpmpp_sde_karras": (DPMSolverSDEScheduler, {"noise_sampler_seed": 101} | KARRAS),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 3}),
    "lcm": (LCMScheduler, {"clip_sample": False}),
    "tcd": (TCDScheduler, {"clip_sample": False}),
}
WITHOUT_ZERO_SNR = ("heun", "dpmpp_sde", "dpmpp_sde_karras")  # in plain diffusers


def drawn_by(pipe, prompt="a circle", **settings):
    image = pipe(
        prompt,
        generator=torch.Generator("cpu").manual_seed(101),
        num_inference_steps=4,
        guidance_scale=3.5,
        width=64,
        height=64,
        output_type="np",
        **settings,
    ).images[0]
    return (image * 255).round().astype(np.uint8)


def one(renderer, settings, case=CASES[0]):
    (drawn,) = draw(renderer, [case], settings, batch=1)
    return drawn.pixels


# by day each sampler in one mode, and two in both
DAY = {"euler", "dpmpp_2m"}


@pytest.mark.parametrize(
    ("prediction_type", "sampler"),
    [
        pytest.param(kind, name, marks=[pytest.mark.night] if kind == "epsilon" and name not in DAY else [])
        for kind in ("epsilon", "v_prediction")
        for name in CHOICES
    ],
)
def test_an_image_is_the_one_that_plain_diffusers_draws(renderer, plain, prediction_type, sampler):
    cls, options = CHOICES[sampler]
    to_zero = prediction_type == "v_prediction" and sampler not in WITHOUT_ZERO_SNR
    if to_zero:
        options = options | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    config = renderer.scheduler_config | {"prediction_type": prediction_type}
    plain.scheduler = cls.from_config(config, **options)
    ours = one(renderer, sampling(prediction_type, sampler, zero_terminal_snr=to_zero))
    eta = {"eta": 0.3} if sampler == "tcd" else {}  # the scheduler's default; the pipeline's is 0
    assert np.array_equal(ours, drawn_by(plain, **eta))


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_settings_reach_the_image_as_they_reach_plain_diffusers(renderer, plain, spacing):
    plain.scheduler = EulerDiscreteScheduler.from_config(renderer.scheduler_config, timestep_spacing=spacing)
    theirs = drawn_by(
        plain,
        guidance_rescale=0.7,
        clip_skip=1,
        original_size=(512, 768),
        crops_coords_top_left=(16, 32),
        target_size=(96, 128),
    )
    settings = sampling(
        timestep_spacing=spacing,
        cfg_rescale=0.7,
        clip_skip=3,
        original_height=512,
        original_width=768,
        crop_top=16,
        crop_left=32,
        target_height=96,
        target_width=128,
    )
    assert np.array_equal(one(renderer, settings), theirs)


DOWN_AND_UP = ("down_blocks.2.attentions.0", "up_blocks.1.attentions.[01]")


@pytest.mark.parametrize(
    ("cfg", "layers", "theirs"),
    [
        (3.5, "M00", "mid"),
        (1.0, "IN07, OUT03 OUT04", [*DOWN_AND_UP]),
    ],
)
def test_perturbed_attention_guidance_is_that_of_diffusers(renderer, plain, cfg, layers, theirs):
    pipe = StableDiffusionXLPAGPipeline.from_pipe(plain, pag_applied_layers=theirs)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(renderer.scheduler_config)
    without = one(renderer, sampling(cfg=cfg))
    theirs = pipe(
        "a circle",
        generator=torch.Generator("cpu").manual_seed(101),
        num_inference_steps=4,
        guidance_scale=cfg,
        pag_scale=3.0,
        width=64,
        height=64,
        output_type="np",
    ).images[0]
    ours = one(renderer, sampling(cfg=cfg, pag_scale=3.0, pag_layers=layers))
    assert np.array_equal(ours, (theirs * 255).round().astype(np.uint8))
    assert not np.array_equal(ours, without)
    assert np.array_equal(one(renderer, sampling(cfg=cfg)), without)


EIGHT = [
    Case(f"p{i}", text, negative, seed)
    for i, (text, negative, seed) in enumerate(
        [
            ("a circle", "", 101),
            ("a star", "", 7),
            ("a heart", "a moon", 101),
            (" ".join(["a circle and a star"] * 20), "", 8),
            ("a (square:1.4)", " ".join(["a moon"] * 50), 9),
            ("a ring", "", 2**62),
            ("a cross", "", 0),
            ("a moon", "", 10),
        ]
    )
]


@pytest.mark.parametrize(
    ("sampler", "rng"),
    [
        ("euler_a", "cpu"),
        pytest.param("euler", "gpu", marks=pytest.mark.night),
        pytest.param("dpmpp_sde", "cpu", marks=pytest.mark.night),
    ],
)
def test_a_seed_draws_the_same_picture_alone_in_a_batch_and_in_another_order(renderer, sampler, rng):
    settings = sampling("v_prediction", sampler, rng=rng)
    alone = {case.id: one(renderer, settings, case) for case in EIGHT}
    for order in (EIGHT, EIGHT[::-1]):
        for drawn in draw(renderer, order, settings, batch=8):
            assert np.abs(drawn.pixels.astype(int) - alone[drawn.case.id]).max() <= 1
    assert len({pixels.tobytes() for pixels in alone.values()}) == 8


def worker(toy: Path, out: Path) -> None:
    renderer = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))
    drawn = draw(renderer, EIGHT[::-1], sampling("v_prediction", "euler_a", rng="gpu"), batch=3)
    np.savez(out, **{d.case.id: d.pixels for d in drawn})


@pytest.mark.night
def test_another_worker_draws_the_same_picture(renderer, toy, tmp_path):
    assert warm.Process(worker, toy, tmp_path / "drawn.npz").wait() == 0
    theirs = np.load(tmp_path / "drawn.npz")
    settings = sampling("v_prediction", "euler_a", rng="gpu")
    for case in EIGHT:
        assert np.abs(one(renderer, settings, case).astype(int) - theirs[case.id]).max() <= 1


def test_the_numbers_of_cpu_and_gpu_draw_different_pictures(renderer):
    assert not np.array_equal(one(renderer, sampling(rng="cpu")), one(renderer, sampling(rng="gpu")))


def test_a_path_is_made_of_the_numbers_of_cpu_or_gpu():
    """Over its whole length a path ends at the first numbers that torchsde draws of the image's seed."""
    like, levels = torch.zeros(1, 4, 8, 8), (0.25, 2.25)
    drawn = {}
    for rng, source in (("cpu", CpuRandn), ("gpu", CudaRandn)):
        seeds = []

        class Watched(source):
            def __init__(self, seed, seeds=seeds, source=source):
                seeds.append(seed)
                super().__init__(seed)

        with pytest.MonkeyPatch.context() as patched:
            patched.setitem(SOURCES, rng, Watched)
            path = Brownian([7], rng, levels, like)
        drawn[rng] = path(torch.tensor(2.25), torch.tensor(0.25))
        first = source(seeds[0]).draw((1, 4, 8, 8)).flatten()
        torch.testing.assert_close(drawn[rng].flatten().abs(), first.abs())
    assert not torch.equal(drawn["cpu"], drawn["gpu"])


def test_an_empty_prompt_draws_the_unconditional_picture_of_plain_diffusers(renderer, plain):
    plain.scheduler = EulerDiscreteScheduler.from_config(renderer.scheduler_config)
    blank, comma = (one(renderer, sampling(), Case("p1", text, "", 101)) for text in ("", ","))
    assert np.array_equal(blank, drawn_by(plain, ""))
    assert not np.array_equal(blank, comma)


def test_an_empty_negative_prompt_is_zeros_or_encoded_and_another_is_neither(renderer):
    against = Case("p2", "a circle", "a star", 101)
    images = [one(renderer, sampling(unconditional=name)) for name in ("zeros", "empty")]
    images.append(one(renderer, sampling(), against))
    assert not any(np.array_equal(a, b) for a, b in combinations(images, 2))
    assert np.array_equal(images[2], one(renderer, sampling(unconditional="empty"), against))


def test_settings_of_one_trial_do_not_reach_the_next(renderer):
    before = one(renderer, sampling("epsilon", "ddim"))
    one(renderer, sampling("v_prediction", "dpmpp_2m_karras"))
    after = one(renderer, sampling("epsilon", "ddim"))
    assert np.array_equal(before, after)


def test_nan_is_black_and_halves_are_rounded_to_the_nearest():
    images = torch.tensor([float("nan"), 0.0, 0.5, 1.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_uint8(images)[0, :, :, 0].tolist() == [[0, 0], [128, 255]]
