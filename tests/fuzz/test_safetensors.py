"""Checkpoints, adapters and recipes from strangers, at every door that reads one."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import ITEM_BYTES, UNMERGED, TensorInfo, open_checkpoint
from gridsearch.checkpoint.inspect import described, open_any
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.adapters.adapter import open_adapter
from gridsearch.merge.engine.sources import FileSource, greatest_values
from gridsearch.merge.export.single import read_record
from gridsearch.merge.export.source import open_merge
from gridsearch.merge.parents import open_parents
from tests.fuzz.bounds import ALL, inputs
from tests.fuzz.mutation import mutated
from tests.helpers.checkpoints import SDXL_KEYS
from tests.helpers.parameters import PARAMETERS

UP, DOWN = torch.ones(2, 1), torch.ones(1, 2)
BLOCKS = torch.ones(1, 2, 2, 2)


def _inspect(path):
    return described(open_any(path), lambda *_: lambda _: None)


def _read_through(path):
    floats = [key for key, info in open_checkpoint(path).tensors.items() if info.merges]
    return greatest_values(FileSource(open_checkpoint(path)), floats)


def _merge(path):
    step = {"models": ["a", "b"], "ratio": 0.5}
    return open_parents(Recipe(models={"a": path, "b": path}, merge=[step]))


def _adapt(path):
    adapter = open_adapter("style", path, PARAMETERS)
    for key in adapter.dependent:
        adapter.require_finite(key)
        adapter.change(key, torch.ones(adapter.deltas[key][0].target.file_shape))
    return [adapter.tensor(key) for key in adapter.deltas if key not in adapter.dependent]


DOORS = {
    "open_checkpoint": open_checkpoint,
    "inspect": _inspect,
    "open_parents": _merge,
    "read through": _read_through,
    "open_adapter": _adapt,
    "open_merge": open_merge,
}


# -- headers that are put together


def header(entries, metadata=None) -> bytes:
    return json.dumps(entries if metadata is None else {"__metadata__": metadata, **entries}).encode()


def file_of(head: bytes, body: bytes, length: int | None = None) -> bytes:
    return (len(head) if length is None else length).to_bytes(8, "little") + head + body


RECORD = {
    "type": "gridsearch",
    "title": "x",
    "prediction_type": "epsilon",
    "zero_terminal_snr": False,
    "files": {"a": "0" * 64, "b": "1" * 64},
    "merge": [{"models": ["a", "b"], "ratio": 0.5}],
}
PEFT = {"unet.lora_alpha": 1.0, "unet.alpha_pattern": {"a.b": 2}, "unet.use_rslora": True}
PARTS = (
    "lora_up.weight",
    "lora_down.weight",
    "alpha",
    "diff",
    "lokr_w1",
    "lokr_w2",
    "hada_w1_a",
    "dora_scale",
)
KEYS = (
    *SDXL_KEYS,
    *(
        "v_pred",
        "ztsnr",
        "edm_mean",
        "scaled_fp8",
        "first_stage_model.decoder.conv_in.weight",
        "__metadata__",
    ),
    *(f"lora_unet_a_b.{part}" for part in PARTS),
    *(f"lora_unet_c.{part}" for part in PARTS),
    *("", "../../x", "a\nerror: b", "\x1b[2J", "\u202etxt", "a" * 2_000, "." * 2_000, "\x00"),
)
NUMBERS = st.one_of(
    st.integers(0, 8),
    st.sampled_from(
        [-1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, True, None, 2.0, "2", [], {}, float("nan")]
    ),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def changed(draw, value):
    """A JSON value with one thing in it that is another."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {**value, key: draw(changed(value[key]))}
        return {**{k: v for k, v in value.items() if k != key}, draw(st.text(max_size=5)): value[key]}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [draw(changed(value[0])), *value[1:]]
    return draw(JSON | NUMBERS)


METADATA = st.one_of(
    JSON,
    st.dictionaries(st.sampled_from(["modelspec.prediction_type", "modelspec.predict_key", "x"]), st.text()),
    changed(RECORD).map(lambda record: {"sd_merge_recipe": json.dumps(record)}),
    changed(PEFT).map(lambda config: {"lora_adapter_metadata": json.dumps(config)}),
    st.sampled_from(["[" * 100_000, "\\" * 50_000, '{"a":' * 5_000, "9" * 10_000, "x" * 1_000_000]).map(
        lambda text: dict.fromkeys(("sd_merge_recipe", "lora_adapter_metadata", "sd_merge_models"), text)
    ),
)


@st.composite
def whole(draw):
    """A header as the format has it, with hostile names, and the body that it asks for."""
    entries, at = {}, 0
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=6)):
        dtype = draw(st.sampled_from(["F32", "F16", *ITEM_BYTES, *UNMERGED]))
        shape = draw(st.lists(st.integers(0, 4), max_size=5))
        end = at + TensorInfo(dtype, tuple(shape)).bytes
        entries[key] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    body = draw(st.binary(min_size=at, max_size=at) | st.just(bytes(at)))
    metadata = draw(st.none() | METADATA)
    return file_of(header(entries, metadata), body)


@st.composite
def crooked(draw):
    """A header with one thing in it that is not as the format has it."""
    entry = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}
    key = draw(st.sampled_from(sorted(entry)))
    wrong = {
        "dtype": st.text(max_size=6) | NUMBERS,
        "shape": st.lists(NUMBERS, max_size=5) | NUMBERS | st.just([2**62] * 1_000) | st.just([1] * 1_000),
        "data_offsets": st.lists(NUMBERS, max_size=3) | NUMBERS,
    }[key]
    name = draw(st.sampled_from(KEYS))
    entries = {name: entry | {key: draw(wrong)}, "w": entry}
    head = header(entries, draw(st.none() | METADATA))
    match draw(st.integers(0, 4)):
        case 0:  # twice the same key
            head = head[:-1] + b"," + head[1:]
        case 1:
            head = head.decode().encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])))
        case 2:
            head = head.replace(b"w", draw(st.sampled_from([b"\xff", b"\\ud800", b"\xed\xa0\x80", b"\0"])))
    length = draw(st.none() | st.integers(0, 2**64 - 1))
    return file_of(head, bytes(draw(st.integers(0, 30))), length)


BOMBS = [
    file_of(b"[" * 5_000_000, b""),
    file_of(b'{"a":' * 1_000_000, b""),
    file_of(b"[" + b"[]," * 1_300_000 + b"[]]", b""),
    file_of(b"[" + b"[]," * 80_000 + b'"\xf0\x9f\x98\x80"]', b""),
    file_of(b"[" + b"0," * 1_900_000 + b'"\xf0\x9f\x98\x80"]', b""),
    file_of(b"[" + b"9" * 5_000_000 + b"]", b""),
    file_of(b'{"__metadata__":{' + b",".join(b'"%d":""' % i for i in range(380_000)) + b"}}", b""),
    file_of(b'{"w":{"dtype":"F16","shape":[' + b"1," * 2_000_000 + b'1],"data_offsets":[0,2]}}', b"\0\0"),
    file_of(
        b"{"
        + b",".join(b'"%d":{"dtype":"U8","shape":[],"data_offsets":[0,1]}' % i for i in range(19_500))
        + b"}",
        b"\0",
    ),
    file_of(
        b"{"
        + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(19_500))
        + b"}",
        b"",
    ),
    file_of(header({}, {"sd_merge_recipe": "[" + ",".join(["[" * 900 + "]" * 900] * 2_000) + "]"}), b""),
    file_of(b" " * 10_000_000, b""),
    (100_000_000).to_bytes(8, "little") + b"{",
]


# -- files that were whole once


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> list[bytes]:
    """A checkpoint with the keys of SDXL's, a LoRA, a LoKr, a DoRA, an OFT and what else changes a weight."""
    folder = tmp_path_factory.mktemp("real")
    files = [
        {key: torch.ones(2, 3, dtype=torch.float16) for key in SDXL_KEYS} | {"v_pred": torch.empty(0)},
        {"lora_unet_a_b.lora_up.weight": UP, "lora_unet_a_b.lora_down.weight": DOWN},
        {"lora_unet_a_b.lokr_w1": torch.ones(2, 1), "lora_unet_a_b.lokr_w2": torch.ones(1, 2)},
        {"unet.a.b.lora_A.weight": DOWN, "unet.a.b.lora_B.weight": UP, "unet.a.b.dora_scale": 2 * UP},
        {"lora_unet_a_b.oft_blocks": torch.ones(1, 2, 2), "lora_unet_a_b.alpha": torch.tensor(1.0)},
        {"unet.a.b.oft_R.weight": torch.ones(1, 1), "unet.c.boft_R": BLOCKS, "unet.c.boft_s": UP},
        {"unet.a.b.weight": torch.ones(2), "unet.a.b.on_input": torch.tensor(1), "unet.c.ia3_l": DOWN},
    ]
    texts = {"sd_merge_recipe": json.dumps(RECORD), "lora_adapter_metadata": json.dumps(PEFT)}
    for i, tensors in enumerate(files):
        save_file(tensors, folder / f"{i}", metadata=texts)
    return [(folder / f"{i}").read_bytes() for i in range(len(files))]


PIECES = (b'"', b"{", b"}", b"[", b"]", b",", b"1e999", b"-1", b'"dtype"', b"NaN", b"\\u0000", b"9" * 5000)


def written(bounds, content: bytes) -> Path:
    path = bounds.folder.parent / "x.safetensors"
    path.write_bytes(content)
    return path


@inputs(3_500, 40)
@given(content=whole())
def test_headers_of_the_format_with_hostile_words(bounds, content):
    bounds.hold(written(bounds, content), DOORS)


@inputs(3_000, 40)
@given(content=crooked())
def test_headers_that_are_not_of_the_format(bounds, content):
    bounds.hold(written(bounds, content), DOORS)


@inputs(3_500, 60)
@given(seed=st.integers(0, 2**64))
def test_files_that_were_whole_once(bounds, real, seed):
    chance = random.Random(seed)
    bounds.hold(written(bounds, mutated(chance.choice(real), chance, PIECES)), DOORS)


@pytest.mark.parametrize("number", range(len(BOMBS)) if ALL else (0, 2, 6))
def test_headers_that_would_grow(bounds, number):
    bounds.hold(written(bounds, BOMBS[number]), DOORS if ALL else {"open_checkpoint": open_checkpoint})


# -- what stands beside a checkpoint, or in the place of one

MECHA = b"""version 0.1.0
model "a.safetensors" model_config="sdxl-sgm" merge_space="weight"
model "b.safetensors"
merge "weighted_sum" &0 &1 alpha=0.3
dict IN00=0.5 BASE=1
literal &3 model_config="sdxl-supermerger_blocks"
merge "ties_sum_with_dropout" &0 &1 &2 probability=0.5
merge "slerp" &2 &1 alpha=&4
merge "fallback" &7 &0"""
WORDS = (b"&0", b"&9", b'"', b"=", b"merge ", b"null", b"1e308", b"\\", b"\n", b"a" * 1000, b" " * 1000)
YAML = (
    b"model:\n  params:\n    parameterization: v\n"
    b"    denoiser_config: {params: {scaling_config: {target: x.VScaling}}}\n"
)
YAML_WORDS = (
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!int ",
    b"!!timestamp ",
    b"!!binary ",
    b"[",
    b"{",
    b"2001-99-99",
    b"? ",
)
YAML_BOMBS = [
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9))
    + b"model: {params: {parameterization: *j}}\n",
    b"a: &a {x: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s]}\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
    ),
    b"[" * 19_000,
    b"- " * 9_900,
    b"? " * 9_900,
    b"a: 0x" + b"f" * 19_000,
    b"&a " * 6_500,
]


@inputs(1_000, 15)
@given(seed=st.integers(0, 2**64))
def test_recipes_of_sd_mecha(bounds, seed):
    chance = random.Random(seed)
    path = bounds.folder.parent / "x.mecha"
    path.write_bytes(mutated(MECHA, chance, WORDS))
    bounds.hold(path, {"read_mecha": read_mecha})


@pytest.mark.parametrize(
    "text",
    [
        b'merge "x" ' + b'\\"' * 400_000,
        b'merge "' + b"\\x" * 400_000 + b'"',
        b"merge " + b" " * 900_000 + b"=",
        b"merge " + b"a" * 900_000 + b'"',
        b"merge " + b"a=" * 400_000,
        b"model " + b"1" * 900_000,
        b"model .5e" + b"1" * 900_000,
        b'model "a"\n' * 60_000,
        b"dict " + b" ".join(b"k%d=1" % i for i in range(100_000)),
    ],
)
def test_recipes_that_would_take_long(bounds, text):
    path = bounds.folder.parent / "x.mecha"
    path.write_bytes(b"version 0.1.0\n" + text)
    bounds.hold(path, {"read_mecha": read_mecha})


@inputs(500, 15)
@given(seed=st.integers(0, 2**64))
def test_a_yaml_beside_it(bounds, real, seed):
    chance = random.Random(seed)
    (bounds.folder.parent / "x.yaml").write_bytes(mutated(YAML, chance, YAML_WORDS))
    bounds.hold(written(bounds, real[0]), {"inspect": _inspect, "open_parents": _merge})
    (bounds.folder.parent / "x.yaml").unlink()


@pytest.mark.parametrize("text", YAML_BOMBS)
def test_a_yaml_that_would_grow(bounds, real, text):
    (bounds.folder.parent / "x.yaml").write_bytes(text)
    bounds.hold(written(bounds, real[0]), {"inspect": _inspect})
    (bounds.folder.parent / "x.yaml").unlink()


@inputs(500, 10)
@given(record=changed(RECORD))
def test_records_of_merges(bounds, record):
    path = bounds.folder.parent / "x.json"
    path.write_text(json.dumps({"record": record, "paths": {"a": "a.safetensors"}}))
    bounds.hold(path, {"open_merge": open_merge, "read_record": lambda p: read_record(p.read_text(), p)})


@inputs(500, 15)
@given(seed=st.integers(0, 2**64))
def test_diffusers_folders(bounds, seed):
    chance = random.Random(seed)
    folder = bounds.folder.parent / "folder"
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    index = b'{"_class_name": "X", "unet": ["diffusers", "Y"], "..": ["a", "b"], "scheduler": ["c", "d"]}'
    config = b'{"_class_name": "EDMEulerScheduler", "prediction_type": "v", "rescale_betas_zero_snr": true}'
    pieces = (b'"\\ud800"', b"[" * 3000, b'"../../.."', b"NaN", b"9" * 5000, b'"\\u0000"')
    (folder / "model_index.json").write_bytes(mutated(index, chance, pieces))
    (folder / "scheduler" / "scheduler_config.json").write_bytes(mutated(config, chance, pieces))
    bounds.hold(folder / "model_index.json", {"inspect": lambda path: _inspect(path.parent)})


# -- a body that is cut short once it is mapped


def test_a_file_that_is_cut_short_while_it_is_in_use_is_named(tmp_path):
    save_file({"w": torch.ones(1000, 1000)}, tmp_path / "x.safetensors")
    source = FileSource(open_checkpoint(tmp_path / "x.safetensors"))
    assert source.tensor("w").sum() == 1_000_000
    with (tmp_path / "x.safetensors").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(Exception, match="truncated while in use"):
        source.tensor("w")


def test_memory_beyond_the_bound_is_noticed(bounds):
    with pytest.raises(MemoryError):
        bounds.hold(written(bounds, b"x"), {"greedy": lambda _: bytearray(300_000_000)})


def test_what_is_written_is_noticed(bounds):
    with pytest.raises(AssertionError, match="was written"):
        bounds.hold(written(bounds, b"x"), {"writer": lambda _: Path("left behind").touch()})
    Path("left behind").unlink()


def test_an_unnamed_error_is_not_let_pass(bounds):
    with pytest.raises(KeyError):
        bounds.hold(written(bounds, b"x"), {"bug": lambda _: {}["x"]})
    with pytest.raises(BadInput):
        open_checkpoint(written(bounds, b"x"))
