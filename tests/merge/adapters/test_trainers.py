"""The files of OneTrainer and SimpleTuner, by the names that those programs give the keys of SDXL."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.checkpoint.ldm.shapes import parameter_rows
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.adapters.adapter import open_adapter

TO_Q = "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_q"
TO_OUT = "mid_block.attentions.0.transformer_blocks.9.attn1.to_out.0"
CONV = "up_blocks.0.upsamplers.0.conv"
FC1 = "text_model.encoder.layers.31.mlp.fc1"
K_PROJ = "text_model.encoder.layers.0.self_attn.k_proj"


@pytest.fixture(scope="module")
def sdxl():
    return parameter_rows(SDXL.configs)


def rank_one(shape):
    kernel = shape[2:]
    return torch.ones(shape[0], 1, *[1] * len(kernel)), torch.ones(1, shape[1], *kernel)


@pytest.fixture
def opened(tmp_path, sdxl):
    """Open a file in which each of the modules has ones in place of its parts, under the given name."""

    def make(names, up, down, more=None, metadata=None):
        tensors = dict(more or {})
        for module, name in names.items():
            tensors[f"{name}.{up}"], tensors[f"{name}.{down}"] = rank_one(sdxl[f"{module}.weight"].outward)
        save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
        return open_adapter("x", tmp_path / "x.safetensors", sdxl)

    return make


ONE_TRAINER = {
    f"unet.{TO_Q}": ("unet.input_blocks.4.1.transformer_blocks.1.attn2.to_q", f"lora_unet_{TO_Q}"),
    f"unet.{TO_OUT}": ("unet.middle_block.1.transformer_blocks.9.attn1.to_out.0", f"lora_unet_{TO_OUT}"),
    f"unet.{CONV}": ("unet.output_blocks.2.2.conv", f"lora_unet_{CONV}"),
    "unet.time_embedding.linear_2": ("unet.time_embed.2", "lora_unet_time_embedding.linear_2"),
    "unet.add_embedding.linear_1": ("unet.label_emb.0.0", "lora_unet_add_embedding.linear_1"),
    "unet.conv_out": ("unet.out.2", "lora_unet_conv_out"),
    f"text_encoder.{K_PROJ.removeprefix('text_model.')}": (f"clip_l.{K_PROJ}", f"lora_te1_{K_PROJ}"),
    f"text_encoder_2.{FC1}": (f"clip_g.{FC1}", f"lora_te2_{FC1}"),
    "text_encoder_2.text_projection": ("clip_g.text_projection", "lora_te2_text_projection"),
}


@pytest.mark.parametrize("layout", ["omi", "legacy", "internal"])
def test_onetrainers_loras_in_each_of_its_layouts(opened, layout):
    names = {
        "omi": {module: omi for module, (omi, _) in ONE_TRAINER.items()},
        "legacy": {module: legacy.replace(".", "_") for module, (_, legacy) in ONE_TRAINER.items()},
        "internal": {
            module: legacy.replace("lora_unet_", "lora_unet.").replace("_text_", ".text_", 1)
            for module, (_, legacy) in ONE_TRAINER.items()
        },
    }[layout]
    alphas = {f"{name}.alpha": torch.tensor(0.5) for name in names.values()}
    embedding = {
        "bundle_emb.<style>.clip_l": torch.ones(2, 768),
        "bundle_emb.<style>.clip_g": torch.ones(2, 1280),
    }
    adapter = opened(names, "lora_up.weight", "lora_down.weight", alphas | embedding)
    assert {delta.module for several in adapter.deltas.values() for delta in several} == set(ONE_TRAINER)
    assert all(delta.scale == 0.5 for several in adapter.deltas.values() for delta in several)
    assert sorted(adapter.unused) == sorted(embedding)


def test_onetrainers_lohas_have_a_dot_before_the_last_word_of_their_modules(opened, sdxl):
    """Its legacy layout takes the word before `hada_w1_a` for a part of it, and alpha's not."""
    parts = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    tensors = {}
    for module, (_, legacy) in ONE_TRAINER.items():
        if module in (f"unet.{CONV}", "unet.conv_out"):
            continue
        up, down = rank_one(sdxl[f"{module}.weight"].outward)
        flat, _, last = legacy.rpartition(".")
        stem = f"{flat.replace('.', '_')}.{last}" if flat else last
        tensors |= {
            f"{stem}.{part}": value.clone() for part, value in zip(parts, (up, down) * 2, strict=True)
        }
        tensors[f"{legacy.replace('.', '_')}.alpha"] = torch.tensor(0.25)
    adapter = opened({}, "", "", tensors)
    assert (adapter.kinds, adapter.unused) == ({"LoHa": len(ONE_TRAINER) - 2}, ())
    assert all(delta.scale == 0.25 for several in adapter.deltas.values() for delta in several)


def test_onetrainers_dora_is_that_of_the_inputs_unless_it_was_told_otherwise(opened, sdxl):
    name, rows = f"lora_unet_{TO_Q.replace('.', '_')}", sdxl[f"unet.{TO_Q}.weight"]
    for axis, sides in ((1, (1, rows.shape[1])), (0, (rows.shape[0], 1))):
        magnitudes = {f"{name}.dora_scale": torch.ones(sides), f"{name}.alpha": torch.tensor(1.0)}
        adapter = opened({f"unet.{TO_Q}": name}, "lora_up.weight", "lora_down.weight", magnitudes)
        (delta,) = adapter.deltas[rows.key]
        assert (delta.name, delta.axis) == ("DoRA", axis)


SIMPLE_TUNER = {
    "diffusers": ({f"unet.{TO_Q}": f"unet.{TO_Q}", f"unet.{TO_OUT}": f"unet.{TO_OUT}"}, "lora_B", "lora_A"),
    "comfyui": (
        {f"unet.{TO_Q}": f"diffusion_model.{TO_Q}", f"unet.{TO_OUT}": f"diffusion_model.{TO_OUT}"},
        "lora_B",
        "lora_A",
    ),
    "comfyui, kohya's names": (
        {f"unet.{at}": f"lora_unet_{at.replace('.', '_')}" for at in (TO_Q, TO_OUT)}
        | {f"text_encoder_2.{FC1}": f"lora_te2_{FC1.replace('.', '_')}"},
        "lora_up",
        "lora_down",
    ),
    "text encoders": (
        {f"text_encoder_2.{FC1}": f"text_encoder_2.{FC1}"},
        "lora_linear_layer.up",
        "lora_linear_layer.down",
    ),
    "lycoris": ({f"unet.{TO_Q}": f"lycoris_{TO_Q.replace('.', '_')}"}, "lora_up", "lora_down"),
}


@pytest.mark.parametrize("layout", list(SIMPLE_TUNER))
def test_simpletuners_files_in_each_of_its_layouts(opened, layout):
    """PEFT's by diffusers, with alpha in the metadata; those for ComfyUI, with an alpha each; LyCORIS'."""
    names, up, down = SIMPLE_TUNER[layout]
    plain = layout in ("diffusers", "text encoders")
    alphas = {} if plain else {f"{name}.alpha": torch.tensor(0.5) for name in names.values()}
    options = {f"{component}.lora_alpha": 0.5 for component in ("unet", "text_encoder_2")}
    metadata = {"lora_adapter_metadata": json.dumps(options)} if plain else None
    adapter = opened(names, f"{up}.weight", f"{down}.weight", alphas, metadata)
    assert {delta.module for several in adapter.deltas.values() for delta in several} == set(names)
    assert all(delta.scale == 0.5 for several in adapter.deltas.values() for delta in several)
    assert adapter.unused == ()
