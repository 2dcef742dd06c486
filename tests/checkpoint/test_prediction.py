"""What a checkpoint predicts: whose word counts, who disagrees, and what is none of the known types."""

import json

import pytest
import torch

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.prediction import meaning, prediction_of, read_prediction, scheduler_says

EMPTY = torch.empty(0)
EPSILON = {"modelspec.prediction_type": "epsilon"}
SDXL_SIDECAR = """
model:
  params:
    denoiser_config:
      params:
        scaling_config: {{ target: sgm.modules.diffusionmodules.denoiser_scaling.{} }}
"""


@pytest.fixture
def opened(save, tmp_path):
    """A checkpoint with the given metadata, marker keys and sidecar."""

    def make(metadata=None, markers=(), sidecar=None):
        if sidecar:
            (tmp_path / "m.yaml").write_text(sidecar)
        return open_checkpoint(save("m.safetensors", "x", metadata=metadata, **dict.fromkeys(markers, EMPTY)))

    return make


def test_each_source_outweighs_the_next_and_the_lesser_ones_that_disagree_are_named(opened):
    spec, marker = "modelspec.prediction_type says epsilon", "the marker key v_pred says v_prediction"
    nothing = prediction_of(opened())
    assert (nothing.type, nothing.source[:7], nothing.conflicts) == ("epsilon", "default", ())
    said = prediction_of(opened(EPSILON))
    assert (said.type, said.source, said.conflicts) == ("epsilon", "modelspec.prediction_type", ())
    marked = prediction_of(opened(EPSILON, ["v_pred", "ztsnr"]))
    assert (marked.type, marked.source, marked.conflicts) == ("v_prediction", "marker key v_pred", (spec,))
    assert marked.zero_terminal_snr
    everything = opened(EPSILON, ["v_pred"], "model: {params: {parameterization: eps}}")
    beside = prediction_of(everything)
    assert (beside.type, beside.source, beside.conflicts) == ("epsilon", "sidecar YAML", (marker,))
    asked = prediction_of(everything, "v_prediction")
    assert (asked.type, asked.source) == ("v_prediction", "experiment file")
    assert asked.conflicts == ("the sidecar YAML says epsilon", spec)


def test_what_comfyui_saves_is_read(opened):
    found = prediction_of(opened({"modelspec.predict_key": "v"}))
    assert (found.type, found.source) == ("v_prediction", "modelspec.predict_key")


@pytest.mark.parametrize(("scaling", "type_"), [("VScaling", "v_prediction"), ("EpsScaling", "epsilon")])
def test_an_sdxl_sidecar_names_a_scaling(opened, scaling, type_):
    found = prediction_of(opened(sidecar=SDXL_SIDECAR.format(scaling)))
    assert (found.type, found.source) == (type_, "sidecar YAML")


@pytest.mark.parametrize("sidecar", ["[", "model: 3", "model: {params: [parameterization]}", "[" * 9000])
def test_a_sidecar_about_something_else_says_nothing(opened, sidecar):
    assert prediction_of(opened(sidecar=sidecar)).source.startswith("default")


@pytest.mark.parametrize("word", ["edm", "velocity", "cosine"])
def test_a_word_that_is_neither_is_refused_unless_the_experiment_says_the_type(opened, word):
    checkpoint = opened({"modelspec.prediction_type": word}, ["v_pred"])
    said = f"modelspec.prediction_type says {meaning(word)}"
    with pytest.raises(BadInput, match=f"neither epsilon, v, x0 nor a flow: {said}"):
        prediction_of(checkpoint)
    assert prediction_of(checkpoint, "epsilon").conflicts[1] == said
    assert read_prediction(checkpoint).conflicts == (said,)


@pytest.mark.parametrize(
    ("process", "word", "type_"),
    [
        ("flow", "velocity", "flow"),  # as SushiUI writes it
        ("ddpm", "velocity", "v_prediction"),
        ("flow", "flow", "flow"),
        ("flow", "epsilon", None),
        ("ddpm", "epsilon", "epsilon"),
    ],
)
def test_the_noise_process_says_what_a_velocity_is(opened, process, word, type_):
    checkpoint = opened({"modelspec.noise_process": process, "modelspec.prediction_type": word})
    if type_:
        assert prediction_of(checkpoint).type == type_
    else:
        with pytest.raises(BadInput, match="says epsilon of a flow"):
            prediction_of(checkpoint)


@pytest.mark.parametrize(("config", "shift"), [({"shift": 6}, 6.0), ({}, None), ({"shift": -1}, None)])
def test_a_folder_of_a_flow_names_its_shift(tmp_path, config, shift):
    (tmp_path / "scheduler").mkdir()
    content = {"_class_name": "FlowMatchEulerDiscreteScheduler", "prediction_type": "epsilon"} | config
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(content))
    assert scheduler_says(tmp_path) == ("flow", False, shift)


def test_a_sidecar_for_other_mathematics_is_refused(opened):
    with pytest.raises(BadInput, match="the sidecar YAML says edm"):
        prediction_of(opened(sidecar=SDXL_SIDECAR.format("EDMScaling")))
    assert prediction_of(opened(sidecar="model: {params: {parameterization: x0}}")).type == "sample"


def test_words_mean_what_people_write(opened):
    assert [meaning(word) for word in ("V", "v-prediction", "v_pred", "vpred")] == ["v_prediction"] * 4
    assert [meaning(word) for word in ("eps", " Epsilon ", "epsilon prediction")] == ["epsilon"] * 3
    flows = ("flow", "Rectified Flow", "rf", "flow-matching", "sd3")  # the last is SwarmUI's word
    assert [meaning(word) for word in flows] == ["flow"] * 5
    assert [meaning(word) for word in (None, "", "None", "null")] == [""] * 4
    assert meaning("\x1b[2J" + "x" * 1000) == "[2j" + "x" * 36
    assert meaning("\x07") == "something unreadable"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("# Größe\nmodel: {params: {parameterization: v}}".encode("latin-1"), "it is not UTF-8"),
        ("model: {params: {parameterization: v}}".encode("utf-16"), "it is not UTF-8"),
        (b"model:\n\tparams:\n\t\tparameterization: v\n", "it is not YAML, line 2"),
        (b"model: {params: {parameterization: v}}\n" + b"# more\n" * 5000, "it has over 20,000 bytes"),
        (b"model: " + b"[" * 500, "it has over 200 brackets"),
    ],
)
def test_a_sidecar_that_cannot_be_read_is_told(opened, tmp_path, content, why):
    (tmp_path / "m.yaml").write_bytes(content)
    trouble = f"its sidecar m.yaml cannot be read: {why}"
    nothing = prediction_of(opened())
    assert (nothing.type, nothing.conflicts) == ("epsilon", (trouble,))
    assert "nothing in the file says otherwise" not in nothing.source
    marked = prediction_of(opened(markers=["v_pred"]))
    assert (marked.source, marked.conflicts) == ("marker key v_pred", (trouble,))


@pytest.mark.parametrize("content", [b"", b"a: 1", b"[1, 2]", b"model: {params: 3}"])
def test_a_yaml_that_says_nothing_of_it_is_no_sidecar(opened, tmp_path, content):
    (tmp_path / "m.yaml").write_bytes(content)
    assert prediction_of(opened()).conflicts == ()
