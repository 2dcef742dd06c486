"""What inspect says of a file, whether it can be merged, is what a plan does with it, in the same words."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import FIRST_CONV, VAE
from gridsearch.checkpoint.header import TensorInfo, open_checkpoint
from gridsearch.checkpoint.inspect import described, open_any
from gridsearch.checkpoint.ldm.shapes import file_shapes
from gridsearch.checkpoint.mergeable import merge_in_words
from gridsearch.checkpoint.sdxl.family import CLIP_G, CLIP_L, POSITION_IDS, SDXL
from gridsearch.merge.export.export import safetensors_head
from gridsearch.merge.parents import open_parents
from gridsearch.search.plan import make_plan
from tests.merge.toy_steps import TE_FC, TO_Q, experiment, settings

VAE_KEY = f"{VAE}decoder.conv_out.bias"
E8M0 = torch.ones(4, dtype=torch.float8_e8m0fnu)


def cast(weights, dtype):
    return {key: value.to(dtype) for key, value in weights.items()}


def without(weights, prefix):
    return {key: value for key, value in weights.items() if not key.startswith(prefix)}


def channels(weights, number):
    conv = weights[FIRST_CONV]
    return weights | {FIRST_CONV: torch.ones(conv.shape[0], number, 3, 3)}


# Name -> what becomes of a model's weights, for files of which a plan takes or refuses each as a first model.
FILES = {
    "whole": lambda w: w,
    "leftovers of training": lambda w: w | {"model_ema.decay": torch.ones(1), f"{VAE}loss.x": torch.ones(1)},
    "broken position ids": lambda w: w | {POSITION_IDS: torch.arange(77)[None].half() * 0.98},
    "8 bits": lambda w: cast(w, torch.float8_e4m3fn),
    "64 bits": lambda w: cast(w, torch.float64),
    "EDM": lambda w: w | {"edm_mean": torch.ones(4)},
    "scaled 8 bits": lambda w: cast(w, torch.float8_e4m3fn) | {"scaled_fp8": torch.ones(1)},
    "scales of powers of two": lambda w: w | {f"{TO_Q}_scale": E8M0},
    "a weight in a format for scales": lambda w: w | {TO_Q: E8M0},
    "a leftover in a format for scales": lambda w: w | {"leftover": E8M0},
    "8-bit integers": lambda w: cast(w, torch.int8),
    "complex": lambda w: w | {TO_Q: w[TO_Q].to(torch.complex64)},
    "no first text encoder": lambda w: without(w, CLIP_L),
    "no second text encoder": lambda w: without(w, CLIP_G),
    "a text encoder's weight missing": lambda w: without(w, TE_FC),
    "a UNet's weight missing": lambda w: without(w, TO_Q),
    "a VAE's weight missing": lambda w: without(w, VAE_KEY),
    "a weight of another shape": lambda w: w | {TO_Q: torch.ones(3, 5)},
    "an empty weight": lambda w: w | {TO_Q: torch.empty(0)},
    "a first convolution of 32 channels": lambda w: channels(w, 32),
    "a VAE alone": lambda w: {key: value for key, value in w.items() if key.startswith(VAE)},
    "another model": lambda w: {"cond_stage_model.transformer.x": torch.ones(2)},
    "an adapter": lambda w: {"lora_unet_x.lora_down.weight": torch.ones(2, 3)},
}
TAKEN = ("whole", "leftovers of training", "broken position ids", "8 bits", "64 bits")


def said_of(path, config):
    """What inspect says; of a file that it cannot open, its error."""
    try:
        opened = open_any(path)
    except BadInput as error:
        return f"no: {error.lines[0]}"
    return dict(described(opened, lambda *_: lambda _: None, config))["can be merged"]


def planned(toy, tmp_path, path, **changes):
    """What a plan says of a file as first model: "yes", or its error as inspect puts it."""
    models = settings(toy)["models"] | {"base": str(path)}
    what = experiment(toy, {"models": ["base", "burnt"], "ratio": [0.5]}, models=models, **changes)
    try:
        make_plan(what, tmp_path / "x")
    except BadInput as error:
        return f"no: {error.lines[0]}"
    return "yes"


@pytest.fixture
def saved(toy, tmp_path):
    def save(change, name="base.safetensors", **metadata):
        save_file(change(load_file(toy / "base.safetensors")), tmp_path / name, metadata=metadata)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", FILES)
def test_inspect_and_plan_say_the_same_of_a_file(toy, tmp_path, saved, name):
    path = saved(FILES[name])
    said, plan = said_of(path, toy / "config"), planned(toy, tmp_path, path)
    if name == "a weight of another shape":  # a plan finds it first in that two files differ
        assert said == "no: 1 tensors of the checkpoint do not have the shapes that its configs ask for."
        assert plan == f"no: burnt and base have 1 weights of different shapes, {TO_Q} first."
    else:
        assert said == plan
    assert (plan == "yes") == (name in TAKEN)
    models = settings(toy)["models"] | {"base": str(toy / "base.safetensors"), "burnt": str(path)}
    second = experiment(toy, {"models": ["base", "burnt"], "ratio": 0.5}, models=models)
    with nullcontext() if name in TAKEN else pytest.raises(BadInput):
        open_parents(second)


def test_they_say_the_same_of_what_lies_beside_the_weights(toy, tmp_path, saved):
    path = saved(FILES["whole"], **{"modelspec.prediction_type": "velocity"})
    assert said_of(path, toy / "config") == planned(toy, tmp_path, path)
    assert "predicts neither epsilon, v, x0 nor a flow" in planned(toy, tmp_path, path)
    path = saved(FILES["whole"], "sidecar.safetensors")
    path.with_suffix(".yaml").write_text("model: {params: {parameterization: edm}}")
    assert said_of(path, toy / "config") == planned(toy, tmp_path, path) != "yes"
    path = saved(FILES["whole"], "LOUD.SAFETENSORS")
    assert said_of(path, toy / "config") == planned(toy, tmp_path, path) != "yes"
    path = saved(FILES["whole"], "short.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    assert said_of(path, toy / "config") == planned(toy, tmp_path, path) != "yes"


def test_what_inspect_says_on_a_condition_holds_where_the_condition_does(toy, tmp_path, saved):
    path = saved(lambda w: without(w, VAE), "bare.safetensors")
    said = "yes; it has no VAE: where it is the first model, [components] vae must name one"
    assert said_of(path, toy / "config") == said
    assert "The merge has no VAE" in planned(toy, tmp_path, path)
    assert planned(toy, tmp_path, path, components={"vae": "burnt"}) == "yes"

    path = saved(lambda w: channels(w, 9), "inpaint.safetensors")
    assert said_of(path, toy / "config").startswith(
        "yes; its UNet reads 9 channels: gridsearch merge takes it"
    )
    assert "base cannot be drawn from a text alone" in planned(toy, tmp_path, path)
    models = settings(toy)["models"] | {"base": str(path)}
    open_parents(experiment(toy, {"models": ["base", "burnt"], "ratio": 0.5}, models=models))

    path = toy / "base.safetensors"
    said = "yes; it is not of SDXL's size, so [render] config must name its component configs"
    assert said_of(path, None) == said
    own = settings(toy)["render"]
    assert planned(toy, tmp_path, path) == "yes"
    without_config = {key: value for key, value in own.items() if key != "config"}
    assert "that its configs ask for" in planned(toy, tmp_path, path, render=without_config)


def full_size(path: Path, **changes):
    """A file with SDXL's own keys and shapes, whose weights take no room on the disk; None leaves one out."""
    entries = {key: TensorInfo("F16", shape) for key, shape in file_shapes(SDXL.configs).items()}
    entries = {key: info for key, info in {**entries, **changes}.items() if info}
    head = safetensors_head(entries, {})
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(len(head) + sum(info.bytes for info in entries.values()))
    return open_checkpoint(path)


def test_a_model_of_sdxls_size_is_compared_with_its_configs(tmp_path):
    path = tmp_path / "x.safetensors"
    assert merge_in_words(full_size(path)) == "yes"
    out = "model.diffusion_model.out.2.bias"
    assert merge_in_words(full_size(path, **{out: None})) == (
        "no: The checkpoint lacks 1 of the 2513 tensors that its configs ask for."
    )
    assert merge_in_words(full_size(path, **{out: TensorInfo("F16", (8,))})) == (
        "no: 1 tensors of the checkpoint do not have the shapes that its configs ask for."
    )
