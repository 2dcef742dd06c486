"""Each kind of guidance is what its paper or its program says, and at strength 0 it is none."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import SmoothedEnergyGuidance, UNet2DConditionModel
from diffusers.hooks.smoothed_energy_guidance_utils import (
    SmoothedEnergyGuidanceConfig,
    _apply_smoothed_energy_guidance_hook,
)
from diffusers.utils.torch_utils import apply_freeu
from scipy import ndimage
from torch import nn

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl import family
from gridsearch.render.cases import Case
from gridsearch.render.denoise.guidance.attention import guided_attention, self_attentions
from gridsearch.render.denoise.guidance.blur import INFINITE, blurred
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.denoise.guidance.combine import fused, guided, thresholded
from gridsearch.render.denoise.guidance.freeu import freeu, strengthened, with_low_frequencies
from gridsearch.render.denoise.loop import denoise
from gridsearch.render.denoise.prediction import clean
from gridsearch.render.denoise.schedulers import noise_level, scheduler_for
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.render.prompt.encode import Conditioning
from tests.helpers.denoising import SDXL, Seen
from tests.helpers.settings import sampling


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def renderer(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


@pytest.fixture(scope="module")
def sdxl():
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(family.SDXL.configs / "unet")
        )


# -- smoothed-energy guidance


@pytest.mark.parametrize(("size", "sigma"), [((6, 9), 0.7), ((7, 4), 2.0), ((1, 3), 1.0), ((4, 5), 9e3)])
def test_the_blur_is_a_gaussian_that_is_reflected(size, sigma):
    x = numbers(2, *size)
    found = blurred(x, sigma).numpy()
    wanted = x.double().numpy()
    for axis, side in enumerate(size, start=1):
        reach = min(int(np.ceil(6 * sigma)) // 2, side // 2)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        wanted = ndimage.convolve1d(wanted, kernel / kernel.sum(), axis, mode="mirror")
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert torch.equal(blurred(x, INFINITE), x.mean(dim=(1, 2), keepdim=True).expand_as(x))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (INFINITE, 1.0),  # diffusers has it the wrong way round: any finite sigma gives the mean,
        (9_999.0, 9_999_999.0),  # and beyond its limit the blur that is not infinite
    ],
)
def test_the_smoothed_prediction_and_its_guidance_are_those_of_diffusers(renderer, ours, theirs):
    unet = renderer.pipe.unet
    asked = sampling(cfg=3.5, seg_scale=2.0, seg_sigma=ours)
    text = {"encoder_hidden_states": numbers(1, 77, 80, seed=1)}
    text["added_cond_kwargs"] = {"text_embeds": numbers(1, 48, seed=2), "time_ids": torch.full((1, 6), 64.0)}
    batch = {
        "encoder_hidden_states": text["encoder_hidden_states"].repeat(3, 1, 1),
        "added_cond_kwargs": {name: one.repeat(3, 1) for name, one in text["added_cond_kwargs"].items()},
    }
    x = numbers(1, 4, 8, 8)
    with torch.no_grad(), guided_attention(unet, asked, (8, 8)) as layers:
        for layer in layers:
            layer.expect(branches(asked))
        outputs = unet(x.repeat(3, 1, 1, 1), 500, **batch).sample
    without, with_prompt, smoothed = outputs.chunk(3)
    plain = unet(x, 500, **text).sample
    torch.testing.assert_close(with_prompt, plain, atol=1e-5, rtol=0)
    config = SmoothedEnergyGuidanceConfig([0], fqn="mid_block.attentions")
    _apply_smoothed_energy_guidance_hook(unet, config, theirs, name="seg")
    try:
        wanted = unet(x, 500, **text).sample
    finally:
        for layer in self_attentions(unet).values():
            if hasattr(layer.to_q, "_diffusers_hook"):
                layer.to_q._diffusers_hook.remove_hook("seg")
    torch.testing.assert_close(smoothed, wanted, atol=1e-5, rtol=0)
    assert (smoothed - with_prompt).abs().max() > 1e-4
    guider = SmoothedEnergyGuidance(3.5, 2.0, seg_guidance_layers=[0])
    guider.set_state(step=1, num_inference_steps=4, timestep=torch.tensor(500))
    parts = dict(zip(branches(asked), (without, with_prompt, smoothed), strict=True))
    wanted = guider.forward(with_prompt, without, smoothed).pred
    torch.testing.assert_close(guided(parts, x, 1.0, asked), wanted, atol=1e-6, rtol=0)


def test_layers_have_the_names_of_blocks_and_one_that_is_not_there_is_refused(renderer, sdxl):
    names = {"IN04": 2, "IN05": 2, "IN07": 10, "IN08": 10, "M00": 10, "OUT00": 10, "OUT03": 2, "OUT05": 2}
    found = self_attentions(sdxl)
    assert len(found) == 70
    for block, depth in names.items():
        assert [name for name in found if name.startswith(block)] == [f"{block}.{i}" for i in range(depth)]
    asked = sampling(pag_scale=1.0, pag_layers="M00.7")
    with (
        pytest.raises(BadInput, match=r"called 'M00.7'"),
        guided_attention(renderer.pipe.unet, asked, (8, 8)),
    ):
        pass


# -- FreeU


@pytest.mark.parametrize("size", [(8, 8), (5, 6)])
def test_the_weights_of_freeu_are_those_of_diffusers_and_of_its_second_version(size):
    backbone, skip = numbers(2, 6, *size), numbers(2, 4, *size, seed=1)
    theirs = apply_freeu(0, backbone.clone(), skip, b1=1.3, s1=0.4, b2=1.0, s2=1.0)
    torch.testing.assert_close(strengthened(backbone, 1.3, 1), theirs[0])
    torch.testing.assert_close(with_low_frequencies(skip, 0.4), theirs[1], atol=1e-6, rtol=0)
    x = backbone.double().numpy()
    mean = x.mean(1, keepdims=True)
    least, most = mean.min((2, 3), keepdims=True), mean.max((2, 3), keepdims=True)
    x[:, :3] *= 1 + 0.3 * (mean - least) / (most - least)
    np.testing.assert_allclose(strengthened(backbone, 1.3, 2).numpy(), x, atol=1e-6)


def test_freeu_weights_the_layers_of_sdxl_that_web_uis_weight_and_leaves_none_behind(sdxl):
    """By the backbone's channels: 1280 is the first stage, 640 the second."""
    resnets = [resnet for block in sdxl.up_blocks for resnet in block.resnets]
    with freeu(sdxl, sampling(freeu_b1=1.1, freeu_s2=0.5)):
        hooks = [[hook.args for hook in resnet._forward_pre_hooks.values()] for resnet in resnets]
    first, second = [(1280, 1.1, 1.0, 2)], [(640, 1.0, 0.5, 2)]
    assert hooks == [first] * 4 + [second] * 3 + [[]] * 2
    assert [resnet.in_channels for resnet in resnets] == [2560, 2560, 1920, 1920, 1280, 960, 960, 640, 640]
    assert not any(resnet._forward_pre_hooks for resnet in resnets)


# -- dynamic thresholding, and fusion by saliency


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("percentile", [1.0, 0.9])
@pytest.mark.parametrize("mode", ["epsilon", "v_prediction", "flow"])
def test_thresholding_is_that_of_the_web_uis_extension(mode, percentile, per_channel):
    with_prompt, without, x = (numbers(2, 4, 6, 5, seed=seed) for seed in range(3))
    level, phi = 1.5, 0.6
    asked = sampling(
        mode,
        cfg=9.0,
        mimic_scale=3.0,
        mimic_percentile=percentile,
        mimic_phi=phi,
        mimic_per_channel=per_channel,
    )
    found = guided({"without": without, "with": with_prompt}, x, level, asked)
    x0 = {
        name: clean(x.double(), (without + scale * (with_prompt - without)).double(), level, mode).numpy()
        for name, scale in (("strong", 9.0), ("weak", 3.0))
    }
    for image in range(2):
        strong, weak = x0["strong"][image], x0["weak"][image]
        centre = strong.mean((1, 2), keepdims=True)
        deviations = np.abs(strong - centre), np.abs(weak - weak.mean((1, 2), keepdims=True))
        channels = [[i] for i in range(4)] if per_channel else [[0, 1, 2, 3]]
        wanted = np.empty_like(strong)
        for group in channels:
            typical, most = np.quantile(deviations[0][group], percentile), deviations[1][group].max()
            limit = max(typical, most)
            part = (strong - centre)[group].clip(-limit, limit) / limit * most + centre[group]
            wanted[group] = phi * part + (1 - phi) * strong[group]
        seen = clean(x[image].double(), found[image].double(), level, mode).numpy()
        np.testing.assert_allclose(seen, wanted, atol=2e-5)


def test_a_weaker_guidance_that_is_not_weaker_limits_nothing():
    strong, x = numbers(1, 4, 6, 6), numbers(1, 4, 6, 6, seed=1)
    found = thresholded(strong, strong, x, 1.0, sampling(mimic_scale=3.5))
    torch.testing.assert_close(found, strong, atol=1e-6, rtol=0)


def test_the_more_salient_guidance_is_taken_value_by_value():
    by_prompt, by_attention = numbers(2, 4, 7, 5), 2 * numbers(2, 4, 7, 5, seed=1)
    salient = []
    for change in (by_prompt, by_attention):
        smooth = ndimage.convolve1d(np.abs(0.5 * change.double().numpy()), KERNEL, 2, mode="mirror")
        weights = np.exp(ndimage.convolve1d(smooth, KERNEL, 3, mode="mirror"))
        salient.append(weights / weights.sum(1, keepdims=True))
    wanted = np.where(salient[0] >= salient[1], by_prompt, by_attention)
    found = fused(by_prompt, by_attention, 0.5).numpy()
    assert np.array_equal(found, wanted)
    assert 0.2 < (found == by_prompt.numpy()).mean() < 0.8


KERNEL = np.exp([-0.5, 0, -0.5]) / np.exp([-0.5, 0, -0.5]).sum()


# -- in the loop, with a UNet that is a formula


class Formula(nn.Module):
    """Answers by its texts: what it says with a prompt differs from what it says without."""

    device, dtype, config = torch.device("cpu"), torch.float64, SimpleNamespace(in_channels=4)

    def __init__(self):
        super().__init__()
        self.rows = []

    def forward(self, x, timestep, encoder_hidden_states, **_):
        self.rows.append(len(x))
        said = encoder_hidden_states.mean(dim=(1, 2)).view(-1, 1, 1, 1)
        return ((x * (0.3 + said)).tanh() + said,)


def text_of(*said):
    tokens = torch.tensor(said, dtype=torch.float64).view(-1, 1, 1).expand(-1, 77, 80)
    return Conditioning(tokens, torch.zeros(len(said), 48, dtype=torch.float64), None)


@pytest.mark.parametrize("mode", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("cfg", [0.5, 7.5, 12.5])
def test_cfg_pp_is_its_papers_algorithm(mode, cfg):
    """Chung et al. (2024), algorithm 2, with A1111's scale: 12.5 is a lambda of 1."""
    asked = sampling(mode, "ddim_cfgpp", steps=8, cfg=cfg, zero_terminal_snr=False)
    scheduler = scheduler_for(asked, SDXL)
    unet = Formula()
    found = denoise(unet, scheduler, text_of(-0.2, 0.5), [3], asked, 8, Seen())
    x = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3)).double()
    ends = [*scheduler.alphas_cumprod[scheduler.timesteps[1:]].double(), torch.tensor(1.0).double()]
    for t, following in zip(scheduler.timesteps, ends, strict=True):
        kept = scheduler.alphas_cumprod[t].double()
        without, with_prompt = (unet(x, t, text_of(said).tokens)[0] for said in (-0.2, 0.5))
        if mode == "v_prediction":
            without, with_prompt = (kept.sqrt() * v + (1 - kept).sqrt() * x for v in (without, with_prompt))
        noise = without + cfg / 12.5 * (with_prompt - without)
        x0 = (x - (1 - kept).sqrt() * noise) / kept.sqrt()
        x = following.sqrt() * x0 + (1 - following).sqrt() * without
    torch.testing.assert_close(found, x, atol=1e-5, rtol=0)


def test_cfg_pp_of_a_flow_keeps_the_noise_that_is_predicted_without_the_prompt():
    asked = sampling("flow", "ddim_cfgpp", steps=8, cfg=7.5)
    scheduler, unet = scheduler_for(asked, SDXL), Formula()
    found = denoise(unet, scheduler, text_of(-0.2, 0.5), [3], asked, 8, Seen())
    x, sigmas = numbers(1, 4, 8, 8, seed=3).double(), scheduler.sigmas.double()
    for sigma, goal in itertools.pairwise(sigmas):
        without, with_prompt = (unet(x, 0, text_of(said).tokens)[0] for said in (-0.2, 0.5))
        x0 = x - sigma * (without + 7.5 / 12.5 * (with_prompt - without))
        x = (1 - goal) * x0 + goal * (x + (1 - sigma) * without)
    # the loop takes pure noise as a level of 4096
    torch.testing.assert_close(found, x, atol=3e-4, rtol=0)


def test_guidance_is_limited_to_an_interval_of_noise_and_nothing_is_predicted_without_the_prompt_outside():
    asked = sampling(steps=12, cfg=3.0, cfg_sigma_low=0.5, cfg_sigma_high=4.0)
    scheduler, unet = scheduler_for(asked, SDXL), Formula()
    levels = [noise_level(scheduler, call) for call in range(12)]
    inside = [0.5 < level <= 4.0 for level in levels]
    assert 2 < sum(inside) < 10
    found = denoise(unet, scheduler, text_of(-0.2, -0.1, 0.5, 0.4), [3, 4], asked, 8, Seen())
    assert unet.rows == [4 if one else 2 for one in inside]
    x = torch.stack([numbers(4, 8, 8, seed=seed) for seed in (3, 4)]).double() * (levels[0] ** 2 + 1) ** 0.5
    for level, following, limited in zip(levels, [*levels[1:], 0.0], inside, strict=True):
        scaled = x / (level**2 + 1) ** 0.5
        without, with_prompt = (
            unet(scaled, 0, text_of(*said).tokens)[0] for said in ((-0.2, -0.1), (0.5, 0.4))
        )
        noise = without + 3.0 * (with_prompt - without) if limited else with_prompt
        x = x + (following - level) * noise
    torch.testing.assert_close(found, x, atol=1e-4, rtol=0)


# -- with a model


OFF = {
    "pag": {"pag_layers": "M00.0"},
    "seg": {"seg_sigma": 3.0},
    "seg without a blur": {"seg_scale": 3.0, "seg_sigma": 0.0},
    "sanf": {"sanf": True},
    "freeu": {"freeu_version": 1},
    "mimic": {"mimic_phi": 0.5, "mimic_percentile": 0.9, "mimic_per_channel": False},
    "mimic by none of it": {"mimic_scale": 2.0, "mimic_phi": 0.0},
    "interval": {"cfg_sigma_high": 4096.0},
}
ON = {
    "pag": {"pag_scale": 3.0, "pag_layers": "M00.0"},
    "seg": {"seg_scale": 3.0},
    "sanf": {"pag_scale": 3.0, "sanf": True},
    "freeu": {"freeu_b1": 1.3, "freeu_s1": 0.9},
    "mimic": {"mimic_scale": 1.0},
    "interval": {"cfg_sigma_high": 4.0},
    "blur": {"query_blur": 10_000.0},
}
CASES = [Case("p1", "a circle", "", 101), Case("p2", "a star", "a moon", 7)]


def picture(renderer, **settings):
    (drawn,) = draw(renderer, CASES[:1], sampling(**{"steps": 2, "height": 32} | settings))
    return drawn.pixels


def test_at_strength_0_it_is_bit_for_bit_none_and_otherwise_something(renderer):
    none = picture(renderer)
    for name, settings in OFF.items():
        assert np.array_equal(picture(renderer, **settings), none), name
    drawn = {name: picture(renderer, **settings) for name, settings in ON.items()}
    assert len({found.tobytes() for found in drawn.values()} | {none.tobytes()}) == len(ON) + 1
    assert np.array_equal(picture(renderer), none)  # nothing is left in the model


@pytest.mark.night
def test_all_of_it_at_once_draws_an_image_the_same_alone_and_in_a_batch(renderer):
    more = {"seg_scale": 2.0, "query_blur": 1.0, "cfg_sigma_low": 1.0, "width": 64, "height": 96, "steps": 2}
    settings = sampling("v_prediction", **more, **ON["sanf"], **ON["freeu"], **ON["mimic"])
    together = [drawn.pixels.astype(int) for drawn in draw(renderer, CASES, settings, batch=2)]
    for case, both in zip(CASES, together, strict=True):
        (alone,) = draw(renderer, [case], settings, batch=1)
        assert alone.finite
        assert np.abs(alone.pixels - both).max() <= 1
