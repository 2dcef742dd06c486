"""Models in every layout in which people keep them, opened with the keys of one: the toy, rewritten."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.identity import cached_sha256, identity_of
from gridsearch.checkpoint.ldm.model import open_model, open_part
from gridsearch.checkpoint.ldm.names import is_original, places, places_in_file
from gridsearch.checkpoint.ldm.recognise import own_keys, require_known, stray_keys
from gridsearch.checkpoint.ldm.shapes import file_shapes
from gridsearch.checkpoint.mapped import mapped
from gridsearch.checkpoint.prediction import prediction_of
from gridsearch.checkpoint.sdxl.family import CLIP_G_MODEL, CLIP_L_MODEL, SDXL
from tests.helpers.layouts import (
    rewritten,
    save_folder,
    save_parts,
    with_bare_unet,
    with_clip_g_in_transformers_names,
    with_comfys_leftovers,
    with_diffusers_attention,
    with_linear_attention,
)

LAYOUTS = {
    "plain": {},
    "fp16": {"variant": "fp16"},
    "sharded": {"max_shard_size": "60KB"},
    "sharded fp16": {"max_shard_size": "60KB", "variant": "fp16"},
}


def same(found: dict, wanted: dict) -> bool:
    return found.keys() == wanted.keys() and all(
        found[key].dtype == wanted[key].dtype and torch.equal(found[key], wanted[key]) for key in wanted
    )


def weights_of(checkpoint) -> dict:
    tensors = mapped(checkpoint)
    return {key: tensors[key] for key in own_keys(checkpoint)}


@pytest.fixture(scope="module")
def base(toy):
    return load_file(toy / "base.safetensors")


@pytest.fixture(scope="module")
def folders(toy, tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    return {
        name: save_folder(toy, "base", root / name.replace(" ", "-"), **options)
        for name, options in LAYOUTS.items()
    }


# -- names


def test_names_of_the_original_layout_are_their_own():
    assert all(map(is_original, file_shapes(SDXL.configs)))
    for part, prefix in {"unet": UNET, "clip_g": CLIP_G_MODEL, "vae": VAE}.items():
        own = [key.removeprefix(prefix) for key in file_shapes(SDXL.configs) if key.startswith(prefix)]
        assert {name: place.key for name, place in places(part, own).items()} == {
            name: prefix + name for name in own
        }


@pytest.mark.parametrize(
    ("part", "name", "key"),
    [
        ("unet", "diffusion_model.out.2.bias", f"{UNET}out.2.bias"),
        ("unet", "unet.conv_out.bias", f"{UNET}out.2.bias"),
        ("vae", "vae.encoder.conv_norm_out.bias", f"{VAE}encoder.norm_out.bias"),
        ("clip_l", "text_model.final_layer_norm.bias", f"{CLIP_L_MODEL}final_layer_norm.bias"),
        ("clip_l", "final_layer_norm.bias", f"{CLIP_L_MODEL}final_layer_norm.bias"),
        ("clip_g", "text_model.final_layer_norm.bias", f"{CLIP_G_MODEL}ln_final.bias"),
        ("clip_g", "model.ln_final.bias", f"{CLIP_G_MODEL}ln_final.bias"),
        ("clip_g", "transformer.resblocks.0.ln_1.bias", f"{CLIP_G_MODEL}transformer.resblocks.0.ln_1.bias"),
        ("clip_g", "text_projection.weight", f"{CLIP_G_MODEL}text_projection"),
        ("clip_l", "text_projection.weight", "unused.text_projection.weight"),
        ("unet", "v_pred", "v_pred"),
    ],
)
def test_a_parts_file_may_begin_its_names_in_many_ways(part, name, key):
    whole = f"text_encoders.{part}.transformer.{name}"  # as ComfyUI has them inside a checkpoint
    assert places_in_file(SDXL, part, [name])[name].key == key
    if part.startswith("clip") and not name.startswith(("model.", "transformer.")):
        wanted = f"unused.{whole}" if key.startswith("unused.") else key
        assert places_in_file(SDXL, part, [whole])[whole].key == wanted


# -- a single file with some keys under other names


@pytest.mark.parametrize(
    "change",
    [
        with_linear_attention,
        with_diffusers_attention,
        with_comfys_leftovers,
        with_clip_g_in_transformers_names,
    ],
)
def test_other_names_and_shapes_are_read_as_the_originals(toy, tmp_path, base, change):
    file = rewritten(toy / "base.safetensors", tmp_path / "x.safetensors", change)
    model = open_model(file)
    require_known(model)
    assert same(weights_of(model), base)
    assert all("position_ids" in key for key in stray_keys(model))


def test_a_file_in_the_original_layout_is_taken_as_it_is(toy):
    model = open_model(toy / "base.safetensors")
    assert not model.pieces
    assert model.copied == 0
    assert model == open_checkpoint(toy / "base.safetensors")


def test_a_file_that_has_a_tensor_twice_keeps_the_original_one(toy, tmp_path, base):
    name = f"{VAE}decoder.mid.attn_1.to_q.weight"
    twice = {
        **base,
        name: torch.full((32, 32), 9.0),
        f"{CLIP_G_MODEL}text_projection.weight": torch.ones(48, 48),
    }
    save_file(twice, tmp_path / "x.safetensors")
    model = open_model(tmp_path / "x.safetensors")
    assert same(weights_of(model), base)
    assert set(stray_keys(model)) == {f"unused.{name}", f"unused.{CLIP_G_MODEL}text_projection.weight"}


def test_rows_that_are_not_complete_are_not_put_together(toy, tmp_path):
    def without_a_third(tensors):
        found = with_clip_g_in_transformers_names(tensors)
        del found[f"{CLIP_G_MODEL}transformer.text_model.encoder.layers.0.self_attn.k_proj.weight"]
        return found

    model = open_model(rewritten(toy / "base.safetensors", tmp_path / "x.safetensors", without_a_third))
    assert f"{CLIP_G_MODEL}transformer.resblocks.0.attn.in_proj_weight" not in model.tensors
    assert f"{CLIP_G_MODEL}transformer.resblocks.0.attn.in_proj_bias" in model.tensors


def test_thirds_of_different_dtypes_are_refused(toy, tmp_path):
    def uneven(tensors):
        found = with_clip_g_in_transformers_names(tensors)
        key = f"{CLIP_G_MODEL}transformer.text_model.encoder.layers.0.self_attn.k_proj.weight"
        return found | {key: found[key].float()}

    with pytest.raises(BadInput, match="in_proj_weight do not fit together") as caught:
        open_model(rewritten(toy / "base.safetensors", tmp_path / "x.safetensors", uneven))
    assert "k_proj.weight is F32" in str(caught.value)


@pytest.mark.parametrize("scalars", ["qkv", "k"])
def test_thirds_without_rows_are_refused(toy, tmp_path, scalars):
    def of_one_number(tensors):
        found = with_clip_g_in_transformers_names(tensors)
        layer = f"{CLIP_G_MODEL}transformer.text_model.encoder.layers.0.self_attn."
        return found | {f"{layer}{which}_proj.bias": torch.ones((), dtype=torch.half) for which in scalars}

    with pytest.raises(BadInput, match="in_proj_bias do not fit together") as caught:
        open_model(rewritten(toy / "base.safetensors", tmp_path / "x.safetensors", of_one_number))
    assert "k_proj.bias is F16 []" in str(caught.value)


# -- parts in files of their own


@pytest.mark.parametrize("transformers", [True, False])
def test_parts_are_one_model(toy, tmp_path, base, transformers):
    parts = save_parts(toy / "base.safetensors", tmp_path, transformers)
    model = open_model({part: tmp_path / f"{part}.safetensors" for part in parts})
    require_known(model)
    assert same(weights_of(model), base)
    assert model.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_a_part_may_be_under_bare_names_or_in_a_whole_checkpoint(toy, tmp_path, base):
    whole = toy / "base.safetensors"
    bare = rewritten(whole, tmp_path / "bare.safetensors", with_bare_unet)
    model = open_model({"unet": bare, "clip_l": whole, "clip_g": whole, "vae": whole})
    assert same(weights_of(model), base)
    assert model.bytes == bare.stat().st_size + whole.stat().st_size


def test_a_part_may_be_a_pipelines(folders, tmp_path, base):
    parts = {
        part: next((folders["plain"] / name).glob("*.safetensors"))
        for name, part in SDXL.pipeline_parts.items()
    }
    assert same(weights_of(open_model(parts)), base)
    earlier = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def before_2023(tensors):
        for now, then in earlier.items():
            tensors = {key.replace(now, then): tensor for key, tensor in tensors.items()}
        return tensors

    parts["vae"] = rewritten(parts["vae"], tmp_path / "vae.safetensors", before_2023)
    vae = open_part("vae", parts["vae"])
    assert same(weights_of(vae), {key: tensor for key, tensor in base.items() if key.startswith(VAE)})


@pytest.mark.parametrize(
    ("part", "said"), [("unet", "UNet"), ("clip_g", "second text encoder"), ("vae", "VAE")]
)
def test_a_file_that_is_another_part_is_refused(toy, tmp_path, part, said):
    parts = save_parts(toy / "base.safetensors", tmp_path)
    files = {**parts, part: parts["clip_l"]}
    with pytest.raises(BadInput, match=f"There is no {said}.* in this file") as caught:
        open_model({name: tmp_path / file for name, file in files.items()})
    assert caught.value.where == tmp_path / "clip_l.safetensors"


# -- folders of diffusers


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_one_model(folders, base, layout):
    model = open_model(folders[layout])
    require_known(model)
    assert same(weights_of(model), base)
    assert not model.notes
    joined = [key for key in base if ".attn.in_proj_" in key or key.endswith("text_projection")]
    assert model.copied == sum(base[key].nbytes for key in joined) > 0
    assert (len(model.files) > 20) == layout.startswith("sharded")


def test_of_two_variants_the_plain_one_is_taken_and_that_is_said(folders, toy, tmp_path):
    shutil.copytree(folders["plain"], tmp_path / "both")
    shutil.copytree(folders["fp16"], tmp_path / "both", dirs_exist_ok=True)
    save_folder(toy, "vpred", tmp_path / "32", torch.float32)
    shutil.copytree(tmp_path / "32", tmp_path / "both", dirs_exist_ok=True)
    model = open_model(tmp_path / "both")
    assert model.dtypes == ("F32",)
    assert model.notes[0] == (
        "both/unet has its weights more than once: diffusion_pytorch_model.safetensors is read, "
        "diffusion_pytorch_model.fp16.safetensors is not."
    )
    assert len(model.notes) == 4


def test_a_pickle_is_not_opened(folders, tmp_path):
    shutil.copytree(folders["plain"], tmp_path / "x")
    file = tmp_path / "x" / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(BadInput, match="has no weights in safetensors files") as caught:
        open_model(tmp_path / "x")
    assert "diffusion_pytorch_model.bin is a pickle" in str(caught.value)
    assert "safe_serialization" in str(caught.value)


def test_a_component_that_cannot_be_read_is_named(folders, monkeypatch):
    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadInput, match="The folder cannot be read") as caught:
        open_model(folders["plain"])
    assert caught.value.where == folders["plain"] / "unet"


def test_a_pickle_beside_the_weights_does_not_matter(folders, tmp_path, base):
    shutil.copytree(folders["plain"], tmp_path / "x")
    (tmp_path / "x" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    assert same(weights_of(open_model(tmp_path / "x")), base)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda unet: next(unet.glob("*-00002-of-*")).unlink(), r"1 of \d+ shards are missing"),
        (lambda unet: next(unet.glob("*.index.json")).unlink(), "has no weights in safetensors files"),
        (lambda unet: next(unet.glob("*.index.json")).write_text("{}"), "The index of shards cannot be read"),
        (
            lambda unet: next(unet.glob("*.index.json")).write_text(
                json.dumps({"weight_map": {"conv_in.weight": "../../secret-00001-of-00001.safetensors"}})
            ),
            "The index of shards cannot be read",
        ),
        (lambda unet: shutil.rmtree(unet), "is not a complete SDXL model"),
    ],
)
def test_a_folder_that_is_not_whole_says_what_is_missing(folders, tmp_path, harm, said):
    shutil.copytree(folders["sharded"], tmp_path / "x")
    harm(tmp_path / "x" / "unet")
    with pytest.raises(BadInput, match=said):
        open_model(tmp_path / "x")


def test_what_a_folder_predicts_is_in_its_schedulers_config(folders, tmp_path):
    shutil.copytree(folders["plain"], tmp_path / "x")
    assert prediction_of(open_model(tmp_path / "x")).source == "scheduler_config.json"
    config = tmp_path / "x" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}))
    found = prediction_of(open_model(tmp_path / "x"))
    assert (found.type, found.source, found.zero_terminal_snr) == (
        "v_prediction",
        "scheduler_config.json",
        True,
    )
    config.write_text(json.dumps({"_class_name": "EDMEulerScheduler"}))
    with pytest.raises(BadInput, match="neither epsilon, v, x0 nor a flow"):
        prediction_of(open_model(tmp_path / "x"))


def test_a_yaml_beside_a_folder_is_another_models(folders, tmp_path, monkeypatch):
    shutil.copytree(folders["plain"], tmp_path / "sdxl.v2")
    (tmp_path / "sdxl.yaml").write_text("model: {params: {parameterization: v}}")
    monkeypatch.chdir(tmp_path / "sdxl.v2")
    for place in (tmp_path / "sdxl.v2", Path()):
        found = prediction_of(open_model(place))
        assert (found.type, found.source, found.conflicts) == ("epsilon", "scheduler_config.json", ())


# -- identity


def test_a_model_in_parts_is_known_by_all_of_them(folders, toy, tmp_path):
    def identity(model):
        return identity_of(open_model(model))[0]

    folder = folders["plain"]
    parts = {part: next((folder / name).glob("*.safetensors")) for name, part in SDXL.pipeline_parts.items()}
    assert identity(folder) == identity(parts)  # the same content, wherever it lies
    assert len({identity(folders[name]) for name in LAYOUTS}) == 2  # variants alike, shards not
    for part, file in parts.items():
        other = rewritten(file, tmp_path / file.name, lambda own: {key: own[key] + 1 for key in own})
        assert identity({**parts, part: other}) != identity(folder)
    single = open_model(toy / "base.safetensors")
    assert identity_of(single) == (cached_sha256(single.path), {})
