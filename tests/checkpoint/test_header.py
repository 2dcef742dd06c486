"""What a checkpoint file's header tells, and what is said of a file that is none."""

import contextlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import open_checkpoint, require_name
from gridsearch.checkpoint.ldm.recognise import require_float_weights
from tests.helpers.checkpoints import SDXL_KEYS


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


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.ckpt", b"\x80\x04cos\nsystem\n", "is a pickle, which can run code"),
        ("model.safetensors", b"\x80\x02}q\x00X\x05\x00", "is a pickle.* under another name"),
        ("model.safetensors", b"PK\x03\x04\x00\x00\x08\x08\x00", "zip, most likely of a pickle"),
        ("model.gguf", b"GGUF\x03\x00\x00\x00\x00", "GGUF file, whose weights are quantised"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        ("model.safetensors", b"<!DOCTYPE html>", "web page"),
        ("model.safetensors", b"%PDF-1.7", "is a PDF"),
        ("model.safetensors", b"\xff\xd8\xff\xe0", "is a picture"),
        ("model.safetensors", b"", "the file is empty"),
        ("model.safetensors", b"nothing at all", "not a safetensors file"),
    ],
)
def test_what_is_met_under_a_checkpoints_name_is_recognised_and_not_opened(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=said):
        open_checkpoint(tmp_path / name)


def test_an_address_is_no_file(tmp_path):
    with pytest.raises(BadInput, match="download the file"):
        open_checkpoint(tmp_path / "https://a.example/model.safetensors")


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path):
    """1152 bytes are 80 04 in hex: the first bytes of a pickle of protocol 4, and of a sound file."""
    entry = {"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    header = json.dumps(entry).encode().ljust(1152)
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    assert path.read_bytes()[:2] == b"\x80\x04"
    assert open_checkpoint(path).tensors["w"].dtype == "U8"


def test_a_folder_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(BadInput, match="This is a folder") as caught:
        open_checkpoint(tmp_path)
    assert "a folder of diffusers with its model_index.json" in str(caught.value)


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
    path = tmp_path_factory.getbasetemp() / "hostile.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + b"\0" * 4)
    with contextlib.suppress(BadInput):  # any other error is a bug
        checkpoint = open_checkpoint(path)
        assert sum(info.bytes for info in checkpoint.tensors.values()) <= 4 * max(1, len(checkpoint.tensors))


def header_of(entries):
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"dtype": "F16", "shape": [2.0], "data_offsets": [0, 4]}, "no shape"),
        ({"dtype": "F16", "shape": [True, 2], "data_offsets": [0, 4]}, "no shape"),
        ({"dtype": "F16", "shape": [2**62] * 60, "data_offsets": [0, 4]}, "impossible offsets"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [1, 3]}, "offset"),
    ],
)
def test_what_only_looks_like_a_shape_is_refused(tmp_path, entry, said):
    (tmp_path / "x.safetensors").write_bytes(header_of({"w": entry}) + b"\0" * 4)
    with pytest.raises(BadInput, match=said):
        open_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.parametrize("key", ["a\nerror: it is fine", "\x1b[2J", "\u202egnp", "x" * 501])
def test_a_key_that_would_command_the_terminal_is_no_name(tmp_path, key):
    entry = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    (tmp_path / "x.safetensors").write_bytes(header_of({key: entry}) + b"\0")
    with pytest.raises(BadInput, match="not a tensor name"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    entry = '"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    head = f"{{{entry},{entry}}}".encode()
    (tmp_path / "x.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"\0")
    with pytest.raises(BadInput, match="a key twice"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_a_model_of_another_ending_is_not_handed_on(save):
    """Diffusers would take it for a pickle."""
    with pytest.raises(BadInput, match=r"ends in \.safetensors"):
        require_name(save("model", *SDXL_KEYS))


def test_a_name_that_is_too_long_is_said(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        open_checkpoint(tmp_path / ("x" * 300 + ".safetensors"))


def test_a_path_in_which_an_escape_became_a_tab_is_told_to_stand_in_single_quotes(tmp_path):
    with pytest.raises(BadInput, match="'single quotes'"):
        open_checkpoint(tmp_path / "D:\test.safetensors")


def _in_format(path, keys, dtype, bits):
    """A file whose tensors are of a dtype that torch may not have, zero bytes all."""
    entries, at = {}, 0
    for key in keys:
        entries[key] = {"dtype": dtype, "shape": [2, 16], "data_offsets": [at, at + 32 * bits // 8]}
        at += 32 * bits // 8
    path.write_bytes(header_of(entries) + bytes(at))
    return path


@pytest.mark.parametrize(
    ("dtype", "bits", "kind"),
    [
        ("F4", 4, "a 4-bit format"),
        ("F6_E2M3", 6, "a 6-bit format"),
        ("F6_E3M2", 6, "a 6-bit format"),
        ("F8_E8M0", 8, "an 8-bit format of powers of two, for scales"),
        ("F8_E4M3FNUZ", 8, "an 8-bit format of AMD's"),
        ("F8_E5M2FNUZ", 8, "an 8-bit format of AMD's"),
        ("C64", 64, "a format of complex numbers"),
        ("I8", 8, "whole numbers"),
    ],
)
def test_a_format_that_cannot_be_merged_is_named_and_the_file_is_not_called_broken(
    tmp_path, dtype, bits, kind
):
    path = _in_format(tmp_path / "x.safetensors", SDXL_KEYS, dtype, bits)
    checkpoint = open_checkpoint(path)  # so that inspect can describe it
    assert sum(info.bytes for info in checkpoint.tensors.values()) == 3 * 32 * bits // 8
    with pytest.raises(BadInput) as caught:
        require_float_weights(checkpoint)
    what, _, why, fix = caught.value.lines
    assert what == f"3 weights of this checkpoint are {dtype}, {kind}, which cannot be merged."
    assert why == f"  why: {SDXL_KEYS[0]} first"
    assert fix == "  fix: Use the fp16 or bf16 version of the model."


def test_a_format_that_is_newer_than_the_program_is_named(tmp_path):
    path = _in_format(tmp_path / "x.safetensors", SDXL_KEYS, "F3_E1M1", 8)
    with pytest.raises(BadInput, match="are F3_E1M1, a format that is not known here") as caught:
        open_checkpoint(path)
    assert "again" not in str(caught.value)
