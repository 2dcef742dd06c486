"""What a checkpoint file is, and what is said of one that is not."""

import contextlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from gridsearch.errors import BadInput
from gridsearch.merge.files import (
    architecture,
    open_checkpoint,
    prediction_of,
    require_same_shapes,
    require_sdxl,
    sha256_of,
    short_hash,
)

SDXL_KEYS = (
    "model.diffusion_model.label_emb.0.0.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.1.model.token_embedding.weight",
)


@pytest.fixture
def save(tmp_path):
    """Write a file of small tensors under the given keys; returns its path."""

    def write(name="x.safetensors", *keys, metadata=None, **extra):
        tensors = {key: torch.ones(2, 3) for key in keys} | extra
        save_file(tensors, tmp_path / name, metadata=metadata)
        return tmp_path / name

    return write


def test_the_header_tells_keys_dtypes_shapes_and_metadata(save):
    half, empty = torch.ones(4, dtype=torch.float16), torch.empty(0)
    path = save("x.safetensors", half=half, v_pred=empty, ids=torch.arange(3), metadata={"a": "b"})
    checkpoint = open_checkpoint(path)
    assert checkpoint.metadata == {"a": "b"}
    assert checkpoint.bytes == path.stat().st_size
    assert (checkpoint.tensors["half"].dtype, checkpoint.tensors["half"].shape) == ("F16", (4,))
    assert [key for key, info in checkpoint.tensors.items() if info.merges] == ["half"]
    assert checkpoint.dtypes == ("F16",)


def test_a_truncated_file_says_how_much_is_missing(save):
    path = save("x.safetensors", *SDXL_KEYS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match="truncated: 10 of 72 bytes"):
        open_checkpoint(path)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(BadInput, match="pickle"):
        open_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match="no such checkpoint") as caught:
        open_checkpoint(tmp_path / "gone.safetensors")
    assert "gone.safetensors" in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_hostile_headers_are_refused_and_nothing_else_happens(tmp_path_factory, data):
    entry = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}
    wrong = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=3))
    header = data.draw(
        st.one_of(
            st.binary(max_size=40),
            st.dictionaries(st.text(max_size=5), wrong, max_size=2).map(lambda d: json.dumps(d).encode()),
            st.tuples(st.sampled_from(list(entry)), wrong).map(
                lambda change: json.dumps({"w": entry | {change[0]: change[1]}}).encode()
            ),
        )
    )
    length = data.draw(st.one_of(st.just(len(header)), st.integers(0, 2**64 - 1)))
    path = tmp_path_factory.mktemp("hostile") / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + b"\0" * 4)
    with contextlib.suppress(BadInput):  # any other error is a bug
        checkpoint = open_checkpoint(path)
        assert sum(info.bytes for info in checkpoint.tensors.values()) <= 4 * max(1, len(checkpoint.tensors))


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (SDXL_KEYS, "SDXL"),
        (("cond_stage_model.transformer.text_model.x",), "Stable Diffusion 1.5"),
        (("cond_stage_model.model.x",), "Stable Diffusion 2"),
        (("lora_unet_x.lora_down.weight",), "a LoRA"),
        (("down_blocks.0.x",), "a diffusers-format UNet"),
        ((SDXL_KEYS[0], "conditioner.embedders.0.model.token_embedding.weight"), "an SDXL refiner"),
        (("x",), "no model that is known here"),
    ],
)
def test_other_models_are_recognised_and_refused(save, keys, name):
    checkpoint = open_checkpoint(save("x.safetensors", *keys))
    assert architecture(checkpoint) == name
    if name != "SDXL":
        with pytest.raises(BadInput, match=f"This is {name}, not an SDXL checkpoint"):
            require_sdxl(checkpoint)


def test_an_edm_model_is_refused_in_words(save):
    path = save("x.safetensors", *SDXL_KEYS, **{"edm_vpred.sigma_max": torch.ones(1)})
    with pytest.raises(BadInput, match="EDM"):
        require_sdxl(open_checkpoint(path))


def test_the_prediction_type_is_read_in_order_of_precedence(save, tmp_path):
    marker = {"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}
    plain = open_checkpoint(save("plain.safetensors", "x"))
    spec = open_checkpoint(save("spec.safetensors", "x", metadata={"modelspec.prediction_type": "v"}))
    eps = {"modelspec.prediction_type": "epsilon"}
    marked = open_checkpoint(save("marked.safetensors", "x", metadata=eps, **marker))
    (tmp_path / "sidecar.yaml").write_text("model: {params: {parameterization: v}}")
    sidecar = open_checkpoint(save("sidecar.safetensors", "x", metadata=eps))

    assert (prediction_of(plain).type, prediction_of(plain).source[:7]) == ("epsilon", "default")
    assert (prediction_of(spec).type, prediction_of(spec).source) == (
        "v_prediction",
        "modelspec.prediction_type",
    )
    assert (prediction_of(marked).type, prediction_of(marked).source) == ("v_prediction", "marker key v_pred")
    assert prediction_of(marked).zero_terminal_snr
    assert (prediction_of(sidecar).type, prediction_of(sidecar).source) == ("v_prediction", "sidecar YAML")
    assert prediction_of(marked, "epsilon").source == "experiment file"


def test_files_that_do_not_fit_name_the_first_difference(save):
    first = open_checkpoint(save("a.safetensors", x=torch.ones(2), y=torch.ones(2)))
    less = open_checkpoint(save("b.safetensors", x=torch.ones(2)))
    other = open_checkpoint(save("c.safetensors", x=torch.ones(2), y=torch.ones(3)))
    require_same_shapes({"a": first, "again": first})
    with pytest.raises(BadInput, match="b lacks 1 of 2 weights, y first"):
        require_same_shapes({"a": first, "b": less})
    with pytest.raises(BadInput, match="c and a have 1 weights of different shapes, y first"):
        require_same_shapes({"a": first, "c": other})


def test_the_hash_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    seen = []
    sha256 = sha256_of(tmp_path / "x", seen.append)
    assert sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert short_hash(sha256) == "ba7816bf8f"
    assert seen == [3]
