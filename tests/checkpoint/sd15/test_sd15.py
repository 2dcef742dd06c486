"""Stable Diffusion 1.5: its files in every layout, what is none, and blocks, adapters and pictures of it."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import family_of_folder
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.adapter_names import kohya_name, spellings
from gridsearch.checkpoint.ldm.components import load_tokenizers
from gridsearch.checkpoint.ldm.keys import block_of
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import architecture, own_keys
from gridsearch.checkpoint.ldm.shapes import file_shapes, parameter_rows, skeleton_shapes
from gridsearch.checkpoint.ldm.vocabulary import vocabulary_files
from gridsearch.checkpoint.mapped import mapped
from gridsearch.checkpoint.mergeable import require_mergeable
from gridsearch.checkpoint.sd15.family import SD15
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.adapters.adapter import open_adapter
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import merge_of_trial, read_record
from gridsearch.merge.parents import open_parents
from gridsearch.render.cases import Case
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.render.prompt.encode import encode
from tests.helpers.settings import sampling
from tests.helpers.small_run import Noting
from tests.helpers.tiny_components import (
    file_state_dict,
    random_components,
    tiny_vocabulary,
    write_configs,
)

TEXT = "cond_stage_model.transformer."
IDS = f"{TEXT}text_model.embeddings.position_ids"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The configs of a tiny SD 1.5, its vocabulary beside them."""
    folder = write_configs(tmp_path_factory.mktemp("tiny") / "configs", SD15)
    for name, content in vocabulary_files(tiny_vocabulary()).items():
        (folder / "tokenizer" / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def components(folder):
    return random_components(folder, torch.float32)


@pytest.fixture(scope="module")
def files(folder, components):
    """Two checkpoints in the original layout, a and b, as they are met: with position ids as integers."""
    found = {}
    for name, seed in (("a", 0), ("b", 1)):
        own = components if name == "a" else random_components(folder, torch.float32, seed)
        tensors = file_state_dict(own, torch.float32) | {IDS: torch.arange(77)[None]}
        found[name] = folder.parent / f"{name}.safetensors"
        save_file(tensors, found[name])
    return found


@pytest.fixture(scope="module")
def pipe(files, folder):
    return plain(files["a"], folder)


def plain(file, folder):
    """diffusers' own pipeline of a single file, by its own conversion of the keys."""
    pipe = StableDiffusionPipeline.from_single_file(
        str(file),
        config=str(folder),
        local_files_only=True,
        safety_checker=None,
        **load_tokenizers(folder),
    )
    pipe.set_progress_bar_config(disable=True)
    # diffusers looks for the last norm where transformers 4 kept it
    object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    return pipe


def experiment(files, *steps, **tables):
    merge = list(steps) or [{"models": ["a", "b"], "ratio": 0.25}]
    data = {"name": "x", "models": {name: str(file) for name, file in files.items()}, "merge": merge}
    data["prompt"] = [{"text": "cat", "seeds": [1]}]
    return parse_experiment(data | tables, next(iter(files.values())).parent, "x.toml")


# -- files


def test_every_key_finds_the_parameter_that_diffusers_own_conversion_finds(pipe, components):
    for name in SD15.pipeline_parts:
        theirs = pipe.components[name].state_dict()
        assert theirs.keys() == components[name].state_dict().keys()
        for key, tensor in components[name].state_dict().items():
            assert torch.equal(theirs[key], tensor), key


def without_text_model(tensors):
    return {key.replace("transformer.text_model.", "transformer."): t for key, t in tensors.items()}


def test_a_file_without_text_model_a_folder_and_parts_are_the_same_model(files, pipe, tmp_path):
    tensors = load_file(files["a"])
    wanted = {key: tensors[key] for key in own_keys(open_model(files["a"]))}
    save_file(without_text_model(tensors), tmp_path / "short.safetensors")
    pipe.save_pretrained(tmp_path / "saved")
    parts = {}
    for part, prefix in SD15.parts.items():
        own = {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
        parts[part] = tmp_path / f"{part}.safetensors"
        save_file(own, parts[part])
    for place in (tmp_path / "short.safetensors", tmp_path / "saved", parts):
        opened = open_model(place)
        require_mergeable(opened)
        held = mapped(opened)
        assert {key for key in wanted if key != IDS} <= held.keys()
        assert all(torch.equal(held[key], wanted[key]) for key in wanted if key in held)


def test_what_is_no_sd_15_is_named(files, folder, tmp_path):
    tensors = load_file(files["a"])
    wide = {key: t for key, t in tensors.items() if not key.startswith(TEXT)}
    wide[f"{TEXT}text_model.embeddings.token_embedding.weight"] = torch.zeros(2, 1024)
    open_clip = {k: t for k, t in wide.items() if not k.startswith(TEXT)} | {
        "cond_stage_model.model.ln_final.weight": torch.zeros(2)
    }
    for name, content in {"wide": wide, "open_clip": open_clip}.items():
        save_file(content, tmp_path / f"{name}.safetensors")
        with pytest.raises(BadInput, match=r"This is Stable Diffusion 2, not an SDXL or SD 1\.5 checkpoint"):
            require_mergeable(open_model(tmp_path / f"{name}.safetensors"))
    assert architecture(open_checkpoint(files["a"])) == "Stable Diffusion 1.5"


def test_families_are_not_mixed(files, toy):
    mixed = {"a": files["a"], "x": toy / "base.safetensors"}
    with pytest.raises(BadInput, match=r"x is an SDXL model, and the merge is of SD 1\.5 models"):
        open_parents(experiment(mixed, {"models": ["a", "x"], "ratio": 0.5}))
    with pytest.raises(BadInput, match=r"a is an SD 1\.5 model, and the merge is of SDXL models"):
        open_parents(experiment(mixed, {"models": ["x", "a"], "ratio": 0.5}, family="sdxl"))


@pytest.mark.night
def test_the_shapes_that_are_written_down_are_those_of_the_configs():
    shapes = file_shapes(SD15.configs)
    assert shapes == skeleton_shapes(SD15.configs)
    # as CompVis counts them, in millions: 859.52 of the UNet, 123.06 of the text encoder; 83.65 of the VAE
    counts = {
        part: sum(int(np.prod(s)) for key, s in shapes.items() if key.startswith(prefix))
        for part, prefix in SD15.parts.items()
    }
    assert counts == {"unet": 859_520_964, "vae": 83_653_863, "clip_l": 123_060_480}


# -- experiments: defaults and blocks


def test_an_experiment_takes_its_family_from_its_models_and_defaults_from_that(files):
    render = experiment(files).render
    assert experiment(files).family == "sd15"
    assert (render.clip_skip, render.unconditional, render.width) == (1, "empty", 512)
    given = experiment(files, render={"clip_skip": 2}).at({})
    assert (given.family, given.render.clip_skip, given.render.height) == ("sd15", 2, 512)


def test_its_25_blocks_are_those_of_the_pasted_lists_and_presets(files):
    weights = [round(i / 25, 2) for i in range(26)]
    pasted = experiment(files, {"models": ["a", "b"], "ratio": ", ".join(map(str, weights))})
    assert pasted.merge[0].numbers()["ratio"] == dict(zip(SD15.blocks, weights, strict=True))
    preset = experiment(files, {"models": ["a", "b"], "ratio": {"preset": "GRAD_V"}})
    ratio = preset.merge[0].numbers()["ratio"]
    assert [ratio[block] for block in ("BASE", "IN00", "IN06", "M00", "OUT05", "OUT11")] == [
        *(0, 1, 0.5, 0, 0.5, 1),
    ]
    with pytest.raises(BadInput, match=r"20 weights are given; SD 1\.5 has 26"):
        experiment(files, {"models": ["a", "b"], "ratio": ", ".join(["0.5"] * 20)})
    blocks = {block_of(key, SD15) for key in file_shapes(SD15.configs)}
    assert blocks == {None, *SD15.blocks}
    assert block_of("model.diffusion_model.out.2.weight", SD15) == "OUT11"


# -- merges and adapters


def test_a_merge_per_block_is_a_loop_over_the_keys_and_its_file_is_a_model(files, folder, tmp_path):
    ratio = {"default": 0.25, "IN09-IN11": 0.5, "OUT11": 0.75, "te": 1.0}
    render = {"config": str(folder)}
    merge = merge_of_trial(experiment(files, {"models": ["a", "b"], "ratio": ratio}, render=render), {})
    export(merge, tmp_path / "m.safetensors", Noting())
    a, b, merged = (load_file(f) for f in (files["a"], files["b"], tmp_path / "m.safetensors"))
    assert merged.keys() == a.keys()
    assert torch.equal(merged[IDS].flatten(), torch.arange(77))
    for key in a.keys() - {IDS}:
        own = 0.25
        if re.match(r"model\.diffusion_model\.input_blocks\.(9|10|11)\.", key):
            own = 0.5
        elif re.match(r"model\.diffusion_model\.(output_blocks\.11|out)\.", key):
            own = 0.75
        elif key.startswith(TEXT):
            own = 1.0
        elif key.startswith("first_stage_model."):
            own = 0.0
        assert torch.equal(merged[key], torch.lerp(a[key], b[key], own)), key
    said = open_checkpoint(tmp_path / "m.safetensors").metadata
    assert said["modelspec.architecture"] == "stable-diffusion-v1"
    assert read_record(said["sd_merge_recipe"], "m").family == "sd15"


def test_adapters_of_sd_scripts_are_read_and_sdxls_refused(folder, tmp_path):
    rows = parameter_rows(folder)
    known = spellings(rows)
    query = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    module, text = f"lora_unet_{query.replace('.', '_')}", "lora_te_text_model_encoder_layers_0_mlp_fc1"
    assert known[module] == f"unet.{query}"
    for spelling, leaf in {module: "attn1.to_q", text: "mlp.fc1"}.items():
        where = rows[f"{known[spelling]}.weight"]
        assert where.key.endswith(f"{leaf}.weight")
        assert kohya_name(known[spelling], where.key.removesuffix(".weight"), SD15) == spelling

    where, path = rows[f"unet.{query}.weight"], tmp_path / "style.safetensors"
    lora = {
        f"{module}.lora_up.weight": torch.full((where.shape[0], 1), 0.5),
        f"{module}.lora_down.weight": torch.ones(1, where.shape[1]),
        f"{module}.alpha": torch.tensor(1.0),
    }
    save_file(lora, path)
    adapter = open_adapter("style", path, rows)
    assert adapter.deltas.keys() == {where.key}
    assert torch.equal(adapter.tensor(where.key), torch.full(where.shape, 0.5))

    save_file({key.replace(module, "lora_te2_text_model_x"): t for key, t in lora.items()}, path)
    with pytest.raises(BadInput, match=r"nothing that SD 1\.5 has.*those of SDXL"):
        open_adapter("style", path, rows)


# -- pictures


@pytest.mark.parametrize("kind", ["epsilon", pytest.param("v_prediction", marks=pytest.mark.night)])
def test_pictures_are_those_of_diffusers(toy, kind):
    small = toy.parent / "toy-sd15"
    name = "burnt" if kind == "v_prediction" else "base"
    file, configs = small / f"{name}.safetensors", small / "config"
    renderer, pipe = load_renderer(file, configs, None, placement("cpu", "float32")), plain(file, configs)
    settings = {"prediction_type": kind}
    if kind == "v_prediction":
        settings |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, **settings)
    own = sampling(
        kind,
        steps=4,
        clip_skip=1,
        unconditional="empty",
        timestep_spacing=settings.get("timestep_spacing"),
    )
    (drawn,) = draw(renderer, [Case("p", "a circle", "", 102)], own)
    theirs = pipe(
        "a circle",
        num_inference_steps=4,
        guidance_scale=3.5,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(102),
        output_type="np",
    ).images[0]
    assert np.ptp(drawn.pixels) > 50  # it is no blank picture
    assert np.abs(drawn.pixels - np.round(theirs * 255)).max() <= 1
    # diffusers counts one less, and skips no layer of the negative prompt, as the web UIs do
    skipped, _ = pipe.encode_prompt("a circle", "cpu", 1, False, clip_skip=1)
    assert torch.equal(encode(pipe, "a circle", 2).tokens, skipped[0])


def test_the_scale_of_latents_is_its_own():
    assert json.loads((SD15.configs / "vae" / "config.json").read_text())["scaling_factor"] == 0.18215
    assert family_of_folder(SD15.configs) is SD15
