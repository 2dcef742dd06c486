"""A merge as a file: every key, the right markers, and never half a file."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.errors import BadInput
from gridsearch.merge.export import Target, export_merge, write_safetensors
from gridsearch.merge.files import TensorInfo, open_checkpoint
from gridsearch.merge.sources import open_source

MODELS = {
    "a": {"path": "models/a.safetensors", "sha256": "0" * 64},
    "b": {"path": "b.safetensors", "sha256": "1" * 64},
}


def target(prediction_type="epsilon", ztsnr=False):
    return Target(
        "merged", prediction_type, ztsnr, ({"name": "m", "ratio": 0.25},), MODELS, {"gridsearch": "0"}
    )


@pytest.fixture
def parents(tmp_path):
    """Two files with a half, a float, an integer key; the second carries stray markers."""
    a = {"h": torch.tensor([1.0, 2.0]).half(), "f": torch.tensor([[1.0]]), "ids": torch.tensor([7, 8])}
    b = {"h": torch.tensor([3.0, -2.0]).half(), "f": torch.tensor([[5.0]]), "ids": torch.tensor([0, 0])}
    save_file(a | {"v_pred": torch.empty(0)}, tmp_path / "a.safetensors")
    save_file(b, tmp_path / "b.safetensors")
    return open_checkpoint(tmp_path / "a.safetensors"), {
        n: open_source(tmp_path / f"{n}.safetensors") for n in "ab"
    }


def test_values_dtypes_and_copied_keys(parents, tmp_path):
    first, sources = parents
    export_merge(tmp_path / "m.safetensors", first, sources, {"a": 0.75, "b": 0.25}, target())
    merged = load_file(tmp_path / "m.safetensors")
    assert merged["h"].dtype == torch.float16
    assert merged["h"].tolist() == [1.5, 1.0]
    assert merged["f"].tolist() == [[2.0]]
    assert merged["ids"].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("prediction_type", "ztsnr", "markers"),
    [
        ("epsilon", False, set()),
        ("v_prediction", False, {"v_pred"}),
        ("v_prediction", True, {"v_pred", "ztsnr"}),
    ],
)
def test_markers_follow_the_merge_and_not_its_parents(parents, tmp_path, prediction_type, ztsnr, markers):
    first, sources = parents
    export_merge(
        tmp_path / "m.safetensors", first, sources, {"a": 0.5, "b": 0.5}, target(prediction_type, ztsnr)
    )
    assert set(load_file(tmp_path / "m.safetensors")) - {"h", "f", "ids"} == markers


def test_the_record_can_be_read_by_others(parents, tmp_path):
    first, sources = parents
    export_merge(tmp_path / "m.safetensors", first, sources, {"a": 1.0}, target("v_prediction"))
    metadata = open_checkpoint(tmp_path / "m.safetensors").metadata
    assert json.loads(metadata["sd_merge_recipe"])["steps"] == [{"name": "m", "ratio": 0.25}]
    assert set(json.loads(metadata["sd_merge_models"])) == {"0" * 64, "1" * 64}
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert metadata["modelspec.prediction_type"] == "v"
    assert metadata["modelspec.merged_from"] == "a.safetensors, b.safetensors"


def test_a_failure_leaves_neither_half_a_file_nor_the_old_one_harmed(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")

    def tensors():
        yield torch.ones(2)
        raise OSError("disk full")

    entries = {"x": TensorInfo("F32", (2,)), "y": TensorInfo("F32", (2,))}
    with pytest.raises(OSError, match="disk full"):
        write_safetensors(path, entries, tensors(), {})
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_full_disk_is_found_before_writing(parents, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(BadInput, match="no room"):
        write_safetensors(
            tmp_path / "m.safetensors", {"x": TensorInfo("F32", (2,))}, iter([torch.ones(2)]), {}
        )
    assert not list(tmp_path.glob("*m.safetensors*"))
