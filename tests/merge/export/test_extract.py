"""The difference of two checkpoints as a LoRA: the same weights again, here and in diffusers."""

import hashlib
import json
import math

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.adapter_names import kohya_name, spellings
from gridsearch.checkpoint.ldm.keys import is_embedding, is_vae
from gridsearch.checkpoint.ldm.shapes import parameter_rows
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.adapters.adapter import open_adapter
from gridsearch.merge.export.export import export, is_made_by
from gridsearch.merge.export.extract import EXTRACTED, Cut, extract_adapter, layers_of
from gridsearch.merge.export.single import merge_of_trial
from tests.helpers.program import gridsearch
from tests.helpers.small_run import Quiet
from tests.helpers.tiny_components import file_state_dict, random_components, write_configs
from tests.merge.toy_steps import experiment

RANK = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_configs(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory, folder):
    """A checkpoint, and one whose every layer is changed at rank 2; its norms and biases are not."""
    base = file_state_dict(random_components(folder, torch.float32), torch.float32)
    tuned = {key: value.clone() for key, value in base.items()}
    generator = torch.Generator().manual_seed(3)
    for rows in layers_of(parameter_rows(folder), SDXL).values():
        out, into = rows.shape[0], math.prod(rows.shape[1:])
        change = torch.randn(out, RANK, generator=generator) @ torch.randn(RANK, into, generator=generator)
        tuned[rows.key][rows.rows] += 0.01 * change.reshape(rows.shape)
    place = tmp_path_factory.mktemp("pair")
    save_file(base, place / "base.safetensors")
    save_file(tuned, place / "tuned.safetensors")
    return place / "base.safetensors", place / "tuned.safetensors"


@pytest.mark.night
def test_a_change_of_low_rank_comes_back_here_and_in_diffusers(tmp_path, folder, pair):
    out = tmp_path / "lora.safetensors"
    found = extract_adapter(*pair, out, Cut(RANK, RANK), "float32", folder, Quiet())
    base, tuned = map(load_file, pair)
    parameters = parameter_rows(folder)
    assert (found.layers, found.ranks) == (len(layers_of(parameters, SDXL)), (RANK, RANK))
    assert found.kept == pytest.approx(found.whole, rel=1e-6)
    assert found.left_out == {}

    adapter = open_adapter("lora", out, parameters)
    assert adapter.unused == ()
    assert adapter.matched == found.layers
    for key in base:
        ours = base[key] + adapter.tensor(key) if key in adapter.deltas else base[key]
        spread = float((tuned[key] - base[key]).std()) if base[key].ndim > 1 else 0.0
        assert (ours - tuned[key]).abs().max() <= 1e-3 * spread, key
    assert all(key in adapter.deltas for key in base if not torch.equal(base[key], tuned[key]))

    pipe = StableDiffusionXLPipeline(
        **random_components(folder, torch.float32),
        tokenizer=None,
        tokenizer_2=None,
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    pipe.load_lora_weights(str(tmp_path), weight_name=out.name, local_files_only=True)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    fused = file_state_dict(pipe.components, torch.float32)
    for key in base:
        torch.testing.assert_close(fused[key], tuned[key], rtol=1e-4, atol=1e-5)


def test_names_are_those_of_kohya_and_what_no_lora_changes_is_counted(tmp_path, folder, pair):
    rows = parameter_rows(folder)
    names = layers_of(rows, SDXL)
    for some in (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_input_blocks_1_0_in_layers_2",
        "lora_unet_middle_block_0_emb_layers_1",
        "lora_unet_output_blocks_2_2_conv",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_2_self_attn_v_proj",
        "lora_te2_text_projection",
    ):
        assert some in names
    known = spellings(rows)
    modules = {parameter.rsplit(".", 1)[0]: place for parameter, place in rows.items()}
    for module, place in modules.items():
        if not is_vae(place.key):
            stem = place.key.rsplit(".", 1)[0] if "in_proj" not in place.key else place.key
            assert module == known.get(kohya_name(module, stem, SDXL), module)
    assert not any(is_embedding(place.key) or is_vae(place.key) for place in names.values())

    base, tuned = load_file(pair[0]), load_file(pair[1])
    norm = "model.diffusion_model.out.0.weight"
    token = next(key for key in tuned if is_embedding(key))
    vae = next(key for key in tuned if is_vae(key))
    for key, shift in ((norm, 0.5), (token, 0.25), (vae, 1.0)):
        tuned[key] = base[key] + shift
    save_file(tuned, tmp_path / "tuned.safetensors")
    found = extract_adapter(
        pair[0],
        tmp_path / "tuned.safetensors",
        tmp_path / "l.safetensors",
        Cut(1, 1),
        "float16",
        folder,
        Quiet(),
    )
    assert found.left_out == pytest.approx(
        {"norms and biases": 0.25 * base[norm].numel(), "embeddings": base[token].numel() / 16}
        | {"the VAE": base[vae].numel()},
        rel=1e-4,
    )
    assert found.whole > found.kept + sum(found.left_out.values())  # rank 1 of 2
    said = " ".join(found.lines())
    assert "layers of rank 1 hold" in said
    assert "norms and biases" in said


@pytest.mark.night
def test_the_file_says_what_it_is_the_difference_of(tmp_path, folder, pair):
    out = tmp_path / "lora.safetensors"
    extract_adapter(*pair, out, Cut(4, 3, 0.5, 9), "bfloat16", folder, Quiet())
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
        down = file.get_slice("lora_unet_input_blocks_1_0_in_layers_2.lora_down.weight")
        assert down.get_dtype() == "BF16"
        assert down.get_shape()[0] <= 3
        assert file.get_slice("lora_unet_input_blocks_1_0_in_layers_2.alpha").get_dtype() == "F32"
        ranks = {key: file.get_tensor(key).item() for key in file.keys() if key.endswith(".alpha")}  # noqa: SIM118
        for key, alpha in ranks.items():
            assert file.get_tensor(key.replace("alpha", "lora_down.weight")).shape[0] == alpha
    assert set(ranks.values()) <= {1.0, 2.0}  # half of a change of rank 2
    shas = [hashlib.sha256(path.read_bytes()).hexdigest() for path in pair]
    assert json.loads(metadata["gridsearch.extracted"]) == {
        "base": shas[0],
        "tuned": shas[1],
        "rank": 4,
        "conv_rank": 3,
        "energy": 0.5,
        "seed": 9,
    }
    assert metadata["ss_new_sd_model_hash"] == shas[0]
    assert (
        metadata["ss_sd_model_hash"] == hashlib.sha256(pair[0].read_bytes()[2**20 :][: 2**16]).hexdigest()[:8]
    )
    assert (metadata["ss_network_module"], metadata["ss_network_dim"]) == ("networks.lora", "4")
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert is_made_by(out, EXTRACTED)
    assert not is_made_by(pair[0], EXTRACTED)
    again = tmp_path / "again" / "lora.safetensors"
    again.parent.mkdir()
    extract_adapter(*pair, again, Cut(4, 3, 0.5, 9), "bfloat16", folder, Quiet())
    assert again.read_bytes() == out.read_bytes()


def test_at_full_rank_a_merge_with_the_adapter_is_the_tuned_model(toy, tmp_path):
    """But for what no LoRA holds, and the rounding of the sum, of the change, and of the factors by 1e-4."""
    out = tmp_path / "lora.safetensors"
    found = extract_adapter(
        toy / "base.safetensors",
        toy / "vpred.safetensors",
        out,
        Cut(9999, 9999),
        "float32",
        toy / "config",
        Quiet(),
    )
    what = experiment(
        toy, {"method": "adapter", "models": ["base", "x"], "ratio": 1.0}, adapters={"x": str(out)}
    )
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", Quiet())
    base, tuned = load_file(toy / "base.safetensors"), load_file(toy / "vpred.safetensors")
    merged = load_file(tmp_path / "m.safetensors")
    layers = {rows.key for rows in layers_of(parameter_rows(toy / "config"), SDXL).values()}
    changed = {key for key in base if not base[key].equal(tuned[key])}
    for key in layers & changed:
        wanted = tuned[key].float()
        spread = (wanted - base[key].float()).std()
        sizes = wanted.abs() + (wanted - base[key].float()).abs()
        allowed = torch.finfo(torch.float16).eps * sizes + 1e-4 * spread
        assert ((merged[key].float() - wanted).abs() <= allowed).all(), key
    assert len(layers & changed) > 100
    assert found.kept == pytest.approx(found.whole - sum(found.left_out.values()), rel=1e-6)


@pytest.mark.night
def test_the_command_says_what_the_file_holds_and_replaces_no_file_of_others(toy, tmp_path):
    base, tuned, config = toy / "base.safetensors", toy / "vpred.safetensors", toy / "config"
    out = tmp_path / "lora.safetensors"
    command = ["extract", base, tuned, "--rank", "2", "-o", out, "--config", config]
    done = gridsearch(*command)
    assert done.returncode == 0, done.stderr
    assert "layers of rank 2 hold" in done.stdout
    assert "norms and biases" in done.stdout
    first = out.read_bytes()
    save_file({"x": torch.ones(1)}, out)
    done = gridsearch(*command)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert gridsearch(*command, "--force").returncode == 0
    assert out.read_bytes() == first


def test_what_cannot_be_extracted_is_told(toy, tmp_path, folder, pair):
    base, out = toy / "base.safetensors", tmp_path / "x.safetensors"
    config = toy / "config"
    with pytest.raises(BadInput, match="no layer of the two checkpoints differs"):
        extract_adapter(base, base, out, Cut(2, 2), "float16", config, Quiet())
    with pytest.raises(BadInput, match="of the 563 tensors that its configs ask for"):
        extract_adapter(base, pair[1], out, Cut(2, 2), "float16", config, Quiet())
    broken = load_file(pair[1])
    key = "model.diffusion_model.input_blocks.0.0.weight"
    broken[key][0, 0, 0, 0] = torch.nan
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(BadInput, match="holds a NaN"):
        extract_adapter(pair[0], tmp_path / "broken.safetensors", out, Cut(2, 2), "float16", folder, Quiet())
    broken[key][0, 0, 0, 0] = 1e30
    save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(BadInput, match="does not fit into float16") as caught:
        extract_adapter(pair[0], tmp_path / "broken.safetensors", out, Cut(2, 2), "float16", folder, Quiet())
    assert "lora_unet_input_blocks_0_0" in str(caught.value)
    assert not out.exists()
