"""An original-layout SDXL file and no hub: what was written is loaded, and what is absent is named."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.random_sdxl import LOGIT_SCALE, POSITION_IDS, file_entries, main, write_checkpoint
from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.components import check_loaded, load_tokenizers
from gridsearch.checkpoint.ldm.shapes import check_file
from gridsearch.checkpoint.ldm.vocabulary import vocabulary_files
from gridsearch.checkpoint.sdxl.family import SDXL
from tests.helpers.tiny_components import (
    edit_json,
    file_state_dict,
    random_components,
    tiny_vocabulary,
    write_configs,
)

MODELS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture
def folder(tmp_path) -> Path:
    """The configs of a tiny SDXL, its vocabulary beside them."""
    folder = write_configs(tmp_path / "configs")
    for name, content in vocabulary_files(tiny_vocabulary()).items():
        for tokenizer in ("tokenizer", "tokenizer_2"):
            (folder / tokenizer / name).write_bytes(content)
    return folder


def write_file(path: Path, components: dict, without: str = "nothing") -> Path:
    """A checkpoint as SDXL's are: every key, in half precision; keys that hold `without` left out."""
    tensors = file_state_dict(components, torch.float16)
    tensors[POSITION_IDS] = torch.arange(77)[None]
    tensors[LOGIT_SCALE] = torch.tensor(4.6052, dtype=torch.float16)
    save_file({key: tensor for key, tensor in tensors.items() if without not in key}, path)
    return path


def load(path: Path, folder: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_single_file(
        str(path),
        config=str(folder),
        local_files_only=True,
        torch_dtype=torch.float16,
        add_watermarker=False,
        **load_tokenizers(folder),
    )


def test_every_parameter_is_loaded_bit_for_bit(tmp_path, folder):
    components = random_components(folder, torch.float16)
    pipe = load(write_file(tmp_path / "tiny.safetensors", components), folder)
    check_loaded(pipe)
    for name in MODELS:
        theirs, ours = pipe.components[name].state_dict(), components[name].state_dict()
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[key], ours[key]) for key in ours), name
        assert not any(parameter.isnan().any() for parameter in ours.values()), name


def test_a_loaded_file_draws(tmp_path, folder):
    components = random_components(folder, torch.float16)
    pipe = load(write_file(tmp_path / "tiny.safetensors", components), folder).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    images = pipe(["red cat!", "a cat"], num_inference_steps=2, height=64, width=64, output_type="np").images
    assert images.shape == (2, 64, 64, 3)


@pytest.mark.parametrize(
    ("key", "component"),
    [
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.weight", "text_encoder"),
        ("conditioner.embedders.1.model.transformer.resblocks.1.ln_2.bias", "text_encoder_2"),
        ("conditioner.embedders.1.model.text_projection", "text_encoder_2"),
        ("model.diffusion_model.middle_block.1.norm.weight", "unet"),
        ("first_stage_model.decoder.norm_out.weight", "vae"),
    ],
)
def test_a_key_that_the_file_lacks_is_named_with_its_component(tmp_path, folder, key, component):
    path = write_file(tmp_path / "tiny.safetensors", random_components(folder, torch.float16), without=key)
    with pytest.raises(BadInput, match=f"of the {component}: {key}"):
        check_file(open_checkpoint(path), folder)
    if component.startswith("text_encoder"):  # with the others' diffusers itself stops
        with pytest.raises(BadInput, match=f"of the {component} were not loaded"):
            check_loaded(load(path, folder))


def test_a_whole_file_passes(tmp_path, folder):
    path = write_file(tmp_path / "tiny.safetensors", random_components(folder, torch.float16))
    check_file(open_checkpoint(path), folder)


def test_a_file_of_another_size_is_refused(tmp_path, folder):
    path = write_file(tmp_path / "tiny.safetensors", random_components(folder, torch.float16))
    edit_json(folder / "vae" / "config.json", latent_channels=8)
    with pytest.raises(BadInput, match=r"shapes.*\n.*\n.*first_stage_model.*is \(.*, not \("):
        check_file(open_checkpoint(path), folder)


# -- the full-size file of random weights, without writing it


def test_the_full_size_file_has_sdxls_keys_and_size(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["random_sdxl", "out.safetensors", "--dry-run"])
    main()
    assert capsys.readouterr().out == "out.safetensors: 2515 keys, 6,938,041,312 bytes\n"


def test_its_keys_and_shapes_are_those_that_others_know():
    model_configs = pytest.importorskip("sd_mecha.extensions.model_configs")
    known = model_configs.resolve("sdxl-sgm").keys()
    entries = file_entries(SDXL.configs, "epsilon")
    assert {key for key, about in known.items() if not about.optional} <= entries.keys()
    assert {key: entry.shape for key, entry in entries.items()} == {key: known[key].shape for key in entries}


def test_a_random_file_is_a_sound_checkpoint(tmp_path, folder):
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_checkpoint(path, folder, seed, "v_prediction")
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()
    tensors = load_file(paths[0])
    assert torch.equal(tensors[POSITION_IDS], torch.arange(77)[None])
    assert tensors["v_pred"].shape == tensors["ztsnr"].shape == (0,)
    weights = torch.cat([t.flatten().float() for key, t in tensors.items() if key.startswith("model.")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    with safe_open(paths[0], "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "v"
    check_loaded(load(paths[0], folder))
    assert sorted(tmp_path.glob("*.safetensors*")) == paths  # nothing is left beside them
