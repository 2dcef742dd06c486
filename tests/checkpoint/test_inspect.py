"""`inspect`: what a file is, in words, whatever its maker wrote into it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.identity import sha256_of
from gridsearch.checkpoint.inspect import SHOWN_ENTRIES, described, open_any, printable
from gridsearch.experiment.experiment import load_experiment
from gridsearch.merge.parents import open_parents, warnings_about
from tests.helpers.program import gridsearch


def unheard(_name, _bytes):
    return lambda _: None


@pytest.fixture
def rows(tmp_path):
    """What is said of a file of these tensors and this metadata."""

    def make(metadata=None, **tensors):
        path = tmp_path / "x.safetensors"
        save_file(tensors or {"x": torch.ones(1)}, path, metadata=metadata)
        return {label.strip(): words for label, words in described(open_any(path), unheard)}

    return make


@pytest.fixture
def folder(tmp_path):
    """A diffusers folder with weights in its UNet alone, and a name in its index that leads elsewhere."""
    place = tmp_path / "diffusers"
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "feature_extractor": [None, None],
        "../elsewhere": ["diffusers", "AutoencoderKL"],
    }
    scheduler = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    for name in ("unet", "scheduler"):
        (place / name).mkdir(parents=True)
    (place / "model_index.json").write_text(json.dumps(index))
    (place / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    save_file({"x": torch.ones(2).half()}, place / "unet" / "diffusion_pytorch_model.safetensors")
    return place


def test_a_checkpoint_is_described(toy, tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = load_file(toy / "burnt.safetensors") | {"denoiser.sigmas": torch.ones(3)}
    save_file(tensors, path, metadata={"modelspec.prediction_type": "epsilon", "title": "a [bold]\x1b[2J"})
    done = gridsearch("inspect", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = {
        "layout             single file, original keys",
        "architecture       SDXL",
        "prediction type    v_prediction (marker key v_pred)",
        "but                modelspec.prediction_type says epsilon",
        "zero terminal SNR  yes (marker key ztsnr)",
        "dtypes             F16 x 747, F32 x 3",
        f"SHA-256            {sha256_of(path)}",
        f"A1111 hash         {sha256_of(path)[:10]}",
        "stray keys         1: denoiser.sigmas",
        "can be merged      yes; it is not of SDXL's size, so [render] config must name its component "
        "configs",
        r"title                      a [bold]\x1b[2J",
    }
    assert said <= {line.strip() for line in done.stdout.splitlines()}


def test_a_diffusers_folder_is_described_and_one_that_is_not_whole_is_no_model(toy, tmp_path, folder):
    done = gridsearch("inspect", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.strip() for line in done.stdout.splitlines()}
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert {
        "layout             diffusers folder",
        "pipeline           StableDiffusionXLPipeline",
        "prediction type    v_prediction (scheduler_config.json)",
        "zero terminal SNR  yes (scheduler_config.json)",
        f"SHA-256  {sha256_of(weights)}",
        "can be merged      no: This diffusers folder is not a complete SDXL model.",
    } <= lines
    assert any("UNet2DConditionModel, 0.0 MB, F16 x 1" in line for line in lines)
    assert "elsewhere" not in done.stdout

    toml = (toy.parent / "toy.toml").read_text().replace("toy/burnt.safetensors", str(folder))
    assert str(folder) in toml
    shutil.copytree(toy, tmp_path / "toy", ignore=shutil.ignore_patterns("build"))
    (tmp_path / "x.toml").write_text(toml)
    done = gridsearch("plan", "x.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "This diffusers folder is not a complete SDXL model" in done.stderr
    assert "it has no vae, text_encoder, text_encoder_2" in done.stderr


def test_a_folder_for_other_mathematics_says_so(folder):
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text('{"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon"}')
    assert ("prediction type", "edm (scheduler_config.json)") in described(open_any(folder), unheard)
    config.write_text("[")
    with pytest.raises(BadInput, match="cannot be read"):
        open_any(folder)


def test_an_adapter_is_described_and_not_refused(rows):
    said = rows(**{f"lora_unet_{n}.lora_down.weight": torch.ones(8 * n, 4) for n in (1, 2)})
    assert (said["architecture"], said["rank"], said["modules"]) == ("a LoRA", "8 to 16", "2")
    assert "prediction type" not in said
    assert said["can be merged"] == "no: This is a LoRA: it modifies a model but is not one."


def test_an_edm_model_is_described(rows):
    assert (
        rows(edm_mean=torch.ones(4), v_pred=torch.empty(0))["prediction type"] == "edm (marker key edm_mean)"
    )


def test_metadata_is_cut(rows):
    recipe = json.dumps({"steps": [{"ratio": n} for n in range(50)]})
    said = rows(
        metadata={"notes": "y" * 1_000_000, "sd_merge_recipe": recipe, "sd_merge_models": "[" * 99_999}
    )
    assert said["notes"] == "y" * 200 + "... (1,000,000 characters)"
    assert said["sd_merge_recipe"].splitlines()[:2] == ["{", '  "steps": [']
    assert said["sd_merge_recipe"].endswith("... (154 lines)")
    assert said["sd_merge_models"].endswith("... (99,999 characters)")
    many = rows(metadata={f"k{n}": "" for n in range(SHOWN_ENTRIES + 5)})
    assert many["..."] == "and 5 more"


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("a\x1b[31m\nb\u202e\x9b\ud800é") == r"a\x1b[31m\nb\u202e\x9b\ud800é"


def test_a_run_is_warned_of_what_disagrees_with_the_prediction_type_taken(toy, tmp_path):
    toml = (toy.parent / "toy.toml").read_text().replace('"toy/', f'"{toy.resolve()}/')
    path = f'"{toy.resolve()}/burnt.safetensors"'
    assert path in toml
    (tmp_path / "x.toml").write_text(toml.replace(path, f'{{ path = {path}, prediction_type = "epsilon" }}'))
    experiment = load_experiment(tmp_path / "x.toml")
    warnings = " ".join(warnings_about(experiment, open_parents(experiment)))
    assert "is taken as epsilon (experiment file), but the marker key v_pred says v_prediction" in warnings
    assert "and modelspec.prediction_type says v_prediction." in warnings
