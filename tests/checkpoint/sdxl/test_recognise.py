"""Which model a file is, and what is said of one that cannot be merged."""

import pytest
import torch

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.recognise import (
    architecture,
    merged_keys,
    own_keys,
    require_float_weights,
    require_known,
    require_same_shapes,
    stray_keys,
)
from tests.helpers.checkpoints import SDXL_KEYS

FIRST_CONV = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (SDXL_KEYS, "SDXL"),
        ((*SDXL_KEYS, "cond_stage_model.transformer.left", "model_ema.decay"), "SDXL"),
        (SDXL_KEYS[:2], "an SDXL model with one text encoder only"),
        ((SDXL_KEYS[0], "conditioner.embedders.0.model.token_embedding.weight"), "an SDXL refiner"),
        (("cond_stage_model.transformer.text_model.x",), "an incomplete Stable Diffusion 1.5 model"),
        (("cond_stage_model.model.x",), "Stable Diffusion 2"),
        (("model.diffusion_model.time_embed.0.weight",), "a UNet without text encoders"),
        (("label_emb.0.0.weight", "time_embed.0.weight"), "a UNet without text encoders"),
        (("down_blocks.0.x",), "a diffusers-format UNet"),
        (("model.diffusion_model.double_blocks.0.x",), "a Flux model"),
        (("encoder.conv_in.weight", "decoder.conv_in.weight"), "a VAE"),
        (("x",), "no model that is known here"),
    ],
)
def test_models_are_recognised_and_others_than_sdxl_refused(save, keys, name):
    checkpoint = open_checkpoint(save("x.safetensors", *keys))
    assert architecture(checkpoint) == name
    if name == "SDXL":
        require_known(checkpoint)
    else:
        with pytest.raises(BadInput, match=rf"This is {name}, not an SDXL or SD 1\.5 checkpoint"):
            require_known(checkpoint)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("lora_unet_x.lora_down.weight", "a LoRA"),
        ("unet.down_blocks.0.attn.to_q.lora_A.weight", "a LoRA"),
        ("lycoris_x.hada_w1_a", "LoHa"),
        ("lora_unet_x.lokr_w1", "LoKr"),
    ],
)
def test_an_adapter_is_no_model(save, key, said):
    with pytest.raises(BadInput, match=f"{said}.*modifies a model but is not one"):
        require_known(open_checkpoint(save("x.safetensors", key)))


@pytest.mark.parametrize(
    ("channels", "name"), [(4, "SDXL"), (9, "inpainting"), (8, "pix2pix"), (32, "reads 32")]
)
def test_the_first_convolution_tells_what_the_unet_reads(save, channels, name):
    conv = {FIRST_CONV: torch.ones(2, channels, 3, 3)}
    checkpoint = open_checkpoint(save("x.safetensors", *SDXL_KEYS, **conv))
    assert name in architecture(checkpoint)
    if channels < 32:
        require_known(checkpoint)  # the merge decides which of them may come together
    else:
        with pytest.raises(BadInput, match="reads 32 channels, not an SDXL"):
            require_known(checkpoint)


@pytest.mark.parametrize("marker", ["edm_vpred.sigma_max", "edm_vpred.sigma_min", "edm_mean", "edm_std"])
def test_an_edm_model_is_refused_in_words(save, marker):
    path = save("x.safetensors", *SDXL_KEYS, **{marker: torch.ones(1)})
    with pytest.raises(BadInput, match=rf"(?s)EDM.*{marker}"):
        require_known(open_checkpoint(path))


@pytest.mark.parametrize("key", ["scaled_fp8", "model.diffusion_model.out.2.scale_weight", "x.weight.absmax"])
def test_weights_that_need_scales_are_refused(save, key):
    path = save("x.safetensors", *SDXL_KEYS, **{key: torch.ones(1)})
    with pytest.raises(BadInput, match=rf"(?s)quantised.*1 keys hold scales, {key} first"):
        require_float_weights(open_checkpoint(path))


def test_leftovers_are_stray_and_markers_and_weights_are_not(save):
    ids = "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"
    stray = {ids, "denoiser.sigmas", "model_ema.decay", "alphas_cumprod", "first_stage_model.loss.logvar"}
    kept = {"v_pred", "ztsnr", "edm_mean", "first_stage_model.decoder.conv_in.weight", *SDXL_KEYS}
    assert set(stray_keys(open_checkpoint(save("x.safetensors", *stray, *kept)))) == stray


def test_stray_keys_may_be_missing_or_differ(save):
    key = SDXL_KEYS[0]
    first = open_checkpoint(save("a.safetensors", key, "denoiser.sigmas", "model_ema.decay"))
    other = open_checkpoint(save("b.safetensors", key, "x", **{"denoiser.sigmas": torch.ones(5)}))
    require_same_shapes({"a": first, "b": other}, merged_keys(own_keys(first)))
    require_same_shapes({"b": other, "a": first}, merged_keys(own_keys(other)))


def test_files_that_do_not_fit_name_the_first_difference(save):
    x, y = "model.diffusion_model.x", "model.diffusion_model.y"
    first = open_checkpoint(save("a.safetensors", **{x: torch.ones(2), y: torch.ones(2)}))
    less = open_checkpoint(save("b.safetensors", **{x: torch.ones(2)}))
    other = open_checkpoint(save("c.safetensors", **{x: torch.ones(2), y: torch.ones(3)}))
    keys = merged_keys(own_keys(first))
    require_same_shapes({"a": first, "again": first}, keys)
    with pytest.raises(BadInput, match=f"b lacks 1 of 2 weights, {y} first"):
        require_same_shapes({"a": first, "b": less}, keys)
    with pytest.raises(BadInput, match=f"c and a have 1 weights of different shapes, {y} first"):
        require_same_shapes({"a": first, "c": other}, keys)
