"""Our images are those of a plain diffusers pipeline, and a seed draws the same picture in any company."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionXLPipeline,
    UniPCMultistepScheduler,
)

from gridsearch.errors import BadInput
from gridsearch.render.cases import Case
from gridsearch.render.draw import draw, encode, to_uint8
from gridsearch.render.pipeline import load_renderer, placement
from gridsearch.render.sampling import Sampling
from gridsearch.render.schedulers import scheduler_for

CASES = [Case("p1", "a circle", "", 101), Case("p2", "a star", "", 7), Case("p3", "a heart", "", 101)]


def sampling(prediction_type="epsilon", sampler="euler", **changes):
    settings = {
        "prediction_type": prediction_type,
        "zero_terminal_snr": prediction_type == "v_prediction",
        "timestep_spacing": None,
        "sampler": sampler,
        "steps": 4,
        "cfg": 3.5,
        "cfg_rescale": 0.0,
        "pag_scale": 0.0,
        "unconditional": "zeros",
        "clip_skip": 2,
        "rng": "cpu",
        "width": 64,
        "height": 64,
        "original_width": 64,
        "original_height": 64,
        "crop_left": 0,
        "crop_top": 0,
        "target_width": 64,
        "target_height": 64,
    }
    return Sampling(**settings | changes)


@pytest.fixture(scope="module")
def renderer(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


@pytest.fixture(scope="module")
def plain(toy):
    """The oracle: nothing but diffusers."""
    pipe = StableDiffusionXLPipeline.from_single_file(
        str(toy / "base.safetensors"),
        config=str(toy / "config"),
        local_files_only=True,
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


SCHEDULERS = {
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "ddim": DDIMScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "heun": HeunDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}
IN_MODES = [("epsilon", name) for name in SCHEDULERS]
IN_MODES += [("v_prediction", name) for name in ("euler", "euler_a", "ddim", "dpmpp_2m", "unipc")]


@pytest.mark.parametrize(("prediction_type", "sampler"), IN_MODES)
def test_an_image_is_the_one_that_plain_diffusers_draws(renderer, plain, prediction_type, sampler):
    mode = {"prediction_type": prediction_type}
    if prediction_type == "v_prediction":
        mode |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    if sampler == "ddim":
        mode |= {"clip_sample": False, "set_alpha_to_one": False}
    plain.scheduler = SCHEDULERS[sampler].from_config(renderer.scheduler_config, **mode)
    oracle = plain(
        "a circle",
        generator=torch.Generator("cpu").manual_seed(101),
        num_inference_steps=4,
        guidance_scale=3.5,
        width=64,
        height=64,
        output_type="np",
    ).images[0]
    (drawn,) = draw(renderer, CASES[:1], sampling(prediction_type, sampler), batch=1)
    assert np.array_equal(drawn.pixels, (oracle * 255).round().astype(np.uint8))
    assert drawn.finite


def test_a_seed_draws_the_same_picture_alone_in_a_batch_and_in_another_order(renderer):
    alone = {d.case.id: d.pixels for d in draw(renderer, CASES, sampling(), batch=1)}
    together = {d.case.id: d.pixels for d in draw(renderer, CASES[::-1], sampling(), batch=8)}
    for name, pixels in alone.items():
        assert np.abs(pixels.astype(int) - together[name]).max() <= 1
    assert not np.array_equal(alone["p1_s101"], alone["p2_s7"])


def test_the_unconditional_embedding_is_zeros_or_the_empty_prompt_and_a_negative_prompt_is_neither(renderer):
    cases = [Case("p1", "a circle", "", 1), Case("p2", "a circle", "a star", 1)]
    zeros, empty = (encode(renderer.pipe, cases, name) for name in ("zeros", "empty"))
    assert not zeros.negative_tokens[0].any()
    assert not zeros.negative_pooled[0].any()
    assert empty.negative_tokens[0].any()
    assert torch.equal(zeros.negative_tokens[1], empty.negative_tokens[1])
    drawn = [
        next(iter(draw(renderer, cases[:1], sampling(unconditional=name), 1))).pixels
        for name in ("zeros", "empty")
    ]
    assert not np.array_equal(*drawn)


def test_settings_of_one_trial_do_not_reach_the_next(renderer):
    before = next(iter(draw(renderer, CASES[:1], sampling("epsilon", "ddim"), 1))).pixels
    list(draw(renderer, CASES[:1], sampling("v_prediction", "dpmpp_2m_karras"), 1))
    after = next(iter(draw(renderer, CASES[:1], sampling("epsilon", "ddim"), 1))).pixels
    assert np.array_equal(before, after)


def test_epsilon_is_never_rescaled_to_zero_snr_and_v_starts_at_the_last_timestep():
    config = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "timestep_spacing": "leading",
    }
    for prediction_type, last in (("epsilon", None), ("v_prediction", 999)):
        scheduler = scheduler_for(sampling(prediction_type, zero_terminal_snr=True), config)
        scheduler.set_timesteps(20)
        assert scheduler.config.rescale_betas_zero_snr == (prediction_type == "v_prediction")
        assert last is None or scheduler.timesteps[0] == last


def test_a_sampler_that_cannot_start_from_zero_snr_says_so():
    with pytest.raises(BadInput, match="heun"):
        scheduler_for(sampling("v_prediction", "heun"), {})


def test_nan_is_black_and_halves_are_rounded_to_the_nearest():
    images = torch.tensor([float("nan"), 0.0, 0.5, 1.0]).reshape(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_uint8(images)[0, :, :, 0].tolist() == [[0, 0], [128, 255]]
