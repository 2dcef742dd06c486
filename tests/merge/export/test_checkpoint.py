"""A merge as a file: every key, the right markers, a record that makes it again, and never half a file."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.checkpoint.header import TensorInfo, open_checkpoint
from gridsearch.checkpoint.prediction import read_prediction
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.sources import FileSource
from gridsearch.merge.export.export import export_merge, write_safetensors
from gridsearch.merge.export.single import SingleMerge, read_record, record_of
from tests.helpers import warm

SHA = {"a": "0" * 64, "b": "1" * 64}


def recipe(ratio=0.25):
    return Recipe(
        models={"a": "a.safetensors", "b": "b.safetensors"}, merge=[{"models": ["a", "b"], "ratio": ratio}]
    )


def record(prediction_type="epsilon", ztsnr=False):
    return record_of(SingleMerge(recipe(), "small ratio 0.25", prediction_type, ztsnr, {}), SHA)


@pytest.fixture
def write(tmp_path):
    """Merge two files with a half, a float and an integer key; the second carries a stray marker."""
    a = {"h": torch.tensor([1.0, 2.0]).half(), "f": torch.tensor([[1.0]]), "ids": torch.tensor([7, 8])}
    b = {"h": torch.tensor([3.0, -2.0]).half(), "f": torch.tensor([[5.0]]), "ids": torch.tensor([0, 0])}
    save_file(a, tmp_path / "a.safetensors")
    save_file(b | {"v_pred": torch.empty(0)}, tmp_path / "b.safetensors")

    def export(name="m", terms=(("a", 0.75), ("b", 0.25)), made=None, history=None):
        sources = {n: FileSource(open_checkpoint(tmp_path / f"{n}.safetensors")) for n in "ab"}
        infos = open_checkpoint(tmp_path / "a.safetensors").tensors
        histories = {n: (history or {}).get(n, {}) for n in "ab"}
        path = tmp_path / f"{name}.safetensors"
        export_merge(
            path, infos, {"h": terms, "f": terms}, sources, {"ids": sources["a"]}, made or record(), histories
        )
        return path

    return export


def test_values_dtypes_and_copied_keys(write):
    merged = load_file(write())
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
        ("flow", False, set()),
    ],
)
def test_markers_follow_the_merge_and_not_its_parents(write, prediction_type, ztsnr, markers):
    merged = load_file(write(made=record(prediction_type, ztsnr)))
    assert set(merged) - {"h", "f", "ids"} == markers


def test_the_record_can_be_read_by_others(write):
    metadata = open_checkpoint(write(made=record("v_prediction"))).metadata
    assert json.loads(metadata["sd_merge_recipe"])["merge"][0]["ratio"] == 0.25
    assert json.loads(metadata["sd_merge_models"])["1" * 64]["name"] == "b"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert metadata["modelspec.prediction_type"] == "v"
    assert metadata["modelspec.title"] == "small ratio 0.25"
    assert metadata["modelspec.merged_from"] == "a [0000000000], b [1111111111]"


def test_a_flow_is_read_back_and_understood_by_swarmui(write):
    checkpoint = open_checkpoint(write(made=record("flow")))
    assert checkpoint.metadata["modelspec.prediction_type"] == "sd3"
    assert read_prediction(checkpoint).type == "flow"


def test_the_record_comes_back_as_it_was(write):
    metadata = open_checkpoint(write()).metadata
    again = read_record(metadata["sd_merge_recipe"], "m")
    assert again == record()
    assert again.recipe({"a": "a.safetensors", "b": "b.safetensors"}) == recipe()


def test_the_same_merge_is_the_same_file_byte_for_byte(write):
    assert write("first").read_bytes() == write("second").read_bytes()


def test_a_parent_that_is_a_merge_brings_its_history_along_and_a_broken_one_is_let_be(write):
    earlier = {"sd_merge_recipe": '{"type": "webui"}', "sd_merge_models": '{"2222": {"name": "old"}}'}
    path = write(history={"a": earlier, "b": {"sd_merge_models": "[" * 100_000}})
    models = json.loads(open_checkpoint(path).metadata["sd_merge_models"])
    assert models["2222"] == {"name": "old"}
    assert models["0" * 64]["sd_merge_recipe"] == {"type": "webui"}
    assert models["1" * 64]["sd_merge_recipe"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"type": "webui"}', "written by another program"),
        ('{"type": "gridsearch"}', "is missing"),
        ("[" * 100_000, "not JSON"),
        (record().to_json().replace("0" * 64, "../x"), "give letters, digits"),
        (record().to_json().replace("weighted_sum", "sum"), "no merge method"),
        (
            record().to_json().replace('"components":{', '"components":{"vae":"../x.safetensors",'),
            "not a model of this",
        ),
        (record().to_json().replace("0.25}", "[0.1,0.2]}"), "still to be searched"),
        (record().to_json().replace("0.25}", "1e39}"), "must be from"),
        (record().to_json().replace('["a","b"]', '["a","c"]'), "is not a known model or earlier step"),
        (record().to_json().replace('"adapters":[]', '"adapters":["style"]'), "has no file"),
    ],
)
def test_a_record_that_is_none_is_refused(text, said):
    with pytest.raises(BadInput, match=said):
        read_record(text, "m.safetensors")


def test_a_source_that_is_not_finite_is_named_and_an_overflow_is_not_blamed_on_it(write, tmp_path):
    with pytest.raises(RunFailed, match="non-finite"):
        write(terms=(("a", 1e38), ("b", 0.25)))
    broken = {"h": torch.tensor([1.0, float("nan")]).half(), "f": torch.ones(1, 1)}
    save_file(broken, tmp_path / "b.safetensors")
    with pytest.raises(BadInput, match="h holds a NaN") as caught:
        write()
    assert "b.safetensors" in caught.value.lines[1]
    assert not list(tmp_path.glob("*m.safetensors*"))
    write(terms=(("a", 1.0),))  # without weight it has no part in the merge


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


def half_an_export(path: Path) -> None:
    def tensors():
        yield torch.ones(2)
        print("half", flush=True)
        time.sleep(60)

    entries = {"x": TensorInfo("F32", (2,)), "y": TensorInfo("F32", (2,))}
    write_safetensors(path, entries, tensors(), {})


@pytest.mark.night
def test_a_killed_export_leaves_no_file_under_the_name_and_the_next_one_clears_up(tmp_path):
    path = tmp_path / "m.safetensors"
    with warm.Process(half_an_export, path) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == [".m.safetensors.part"]
    write_safetensors(path, {"x": TensorInfo("F32", (2,))}, iter([torch.ones(2)]), {})
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    assert load_file(path)["x"].tolist() == [1, 1]


def test_a_full_disk_is_found_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(BadInput, match="no room"):
        write_safetensors(
            tmp_path / "m.safetensors", {"x": TensorInfo("F32", (2,))}, iter([torch.ones(2)]), {}
        )
    assert not list(tmp_path.glob("*m.safetensors*"))
