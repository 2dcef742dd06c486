"""Configs and tokenizers: the package's own, those of a folder, and what must not pass in silence."""

import shutil

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.components import (
    check_loaded,
    components_digest,
    config_files,
    config_folder,
    load_tokenizers,
)
from gridsearch.checkpoint.ldm.layout import file_views
from gridsearch.checkpoint.ldm.shapes import skeleton
from gridsearch.checkpoint.ldm.vocabulary import KNOWN_PROMPT, Vocabulary, byte_letters, vocabulary_files
from gridsearch.checkpoint.sdxl.family import SDXL
from tests.helpers.tiny_components import (
    edit_json,
    random_components,
    tiny_vocabulary,
    write_configs,
    write_json,
)

PADS = {one.tokenizer: one.pad for one in SDXL.text_encoders}


@pytest.fixture
def configs(tmp_path):
    """A tiny model's configs, without a vocabulary."""
    return write_configs(tmp_path / "configs")


@pytest.fixture
def words(tmp_path):
    """A folder that holds the tiny vocabulary."""
    return add_vocabulary(tmp_path / "words")


@pytest.fixture
def pipe(configs):
    """A tiny pipeline, whole."""
    for name in PADS:
        add_vocabulary(configs / name)
    return StableDiffusionXLPipeline(
        **random_components(configs, torch.float32),
        **load_tokenizers(configs),
        scheduler=EulerDiscreteScheduler.from_pretrained(configs / "scheduler"),
        add_watermarker=False,
    )


def add_vocabulary(folder, vocabulary=None):
    folder.mkdir(exist_ok=True)
    for name, content in vocabulary_files(vocabulary or tiny_vocabulary()).items():
        (folder / name).write_bytes(content)
    return folder


def other_vocabulary() -> Vocabulary:
    letters = byte_letters()
    return Vocabulary({letter: number for number, letter in enumerate(letters)}, (), "other")


# -- SDXL's own configs


def test_the_packages_configs_are_sdxls():
    modules = skeleton(SDXL.configs)
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    assert counts == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }
    assert len(list(modules["unet"].parameters())) == 1680
    # An SDXL file has two keys more, which belong to no parameter: position_ids and logit_scale.
    assert len(file_views(modules)) == 2513


def test_the_noise_schedule_is_sdxls():
    scheduler = EulerDiscreteScheduler.from_pretrained(SDXL.configs / "scheduler")
    # The largest sigma of SDXL's schedule, as k-diffusion and the web UIs print it.
    assert scheduler.sigmas.max().item() == pytest.approx(14.6146, abs=1e-4)


def test_sdxls_tokenizers_read_a_known_prompt():
    text, ids = KNOWN_PROMPT
    for name, tokenizer in load_tokenizers(SDXL.configs).items():
        assert len(tokenizer) == 49_408
        pad = tokenizer.convert_tokens_to_ids(PADS[name])
        filled = tokenizer(text, padding="max_length", truncation=True).input_ids
        assert filled == [49_406, *ids, 49_407, *[pad] * 70]
        assert len(tokenizer("cat " * 200, truncation=True).input_ids) == 77


def test_exclamation_marks_are_read_as_the_original_code_reads_them():
    for tokenizer in load_tokenizers(SDXL.configs).values():
        # open_clip.tokenize("! !! !!!"), from the issue that `load_tokenizers` names
        assert tokenizer("! !! !!!").input_ids == [49_406, 256, 748, 995, 49_407]


def test_prompts_are_read_as_an_independent_tokenizer_reads_them():
    oracle = pytest.importorskip("instant_clip_tokenizer").Tokenizer()
    tokenizers = load_tokenizers(SDXL.configs)
    for prompt in (
        "1boy, astolfo, car, (masterpiece:1.2), best quality, 8k",
        "It's a DOG's life -- isn't it?! <lora:x:0.8> BREAK",
        "ünïcödé ñandú 日本 кот  tab\tand\nline",
        "supercalifragilisticexpialidocious 3.14159 a_b-c/d\\e",
    ):
        for tokenizer in tokenizers.values():
            assert tokenizer(prompt).input_ids[1:-1] == oracle.encode(prompt)


def test_for_sdxl_no_other_vocabulary_than_clips_will_do(words):
    with pytest.raises(BadInput, match="not CLIP's"):
        load_tokenizers(SDXL.configs, words)


def test_nothing_is_written_and_no_hub_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    load_tokenizers(SDXL.configs)
    components_digest(SDXL.configs)
    assert not list(tmp_path.iterdir())


# -- a folder that the user names


def test_a_vocabulary_is_taken_for_configs_without_one(configs, words):
    for tokenizer in load_tokenizers(configs, words).values():
        assert tokenizer("Red cat").input_ids == [516, 515, 513, 517]
        assert tokenizer.model_max_length == 77


def test_configs_that_lie_beside_their_vocabulary_are_read_alike(tmp_path, configs, words):
    whole = shutil.copytree(configs, tmp_path / "whole")
    for name in PADS:
        add_vocabulary(whole / name)
    apart, together = load_tokenizers(configs, words), load_tokenizers(config_folder(whole))
    for name in PADS:
        assert apart[name].backend_tokenizer.to_str() == together[name].backend_tokenizer.to_str()
        assert apart[name].pad_token == together[name].pad_token
    assert components_digest(configs, words) == components_digest(whole)


def test_special_tokens_may_be_told_in_tables(configs, words):
    table = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False}
    edit_json(
        configs / "tokenizer" / "tokenizer_config.json", eos_token=table, added_tokens_decoder={"1": table}
    )
    assert load_tokenizers(configs, words)["tokenizer"].eos_token == "<|endoftext|>"


def test_other_content_has_another_digest(configs, words):
    first = components_digest(configs, words)
    assert components_digest(configs, words) == first
    edit_json(configs / "vae" / "config.json", scaling_factor=0.2)
    assert components_digest(configs, words) != first


# -- refusing a folder


@pytest.mark.parametrize(
    "file", ["model_index.json", *(f"{name}/{file}" for name, file in config_files(SDXL).items())]
)
def test_every_config_is_needed(configs, words, file):
    (configs / file).unlink()
    with pytest.raises(BadInput, match=file):
        load_tokenizers(config_folder(configs), words)


def test_a_folder_that_does_not_exist(tmp_path, words):
    with pytest.raises(BadInput, match="does not exist"):
        config_folder(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="not a folder"):
        config_folder(words / "vocab.json")


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("model_index.json", {"text_encoder_2": [None, None]}, "does not name the text_encoder_2"),
        ("tokenizer/tokenizer_config.json", {"model_max_length": None}, "model_max_length is None"),
        ("tokenizer_2/tokenizer_config.json", {"model_max_length": 10**30}, "reads 77 tokens"),
        ("text_encoder/config.json", {"vocab_size": None}, "no vocab_size"),
        ("text_encoder/config.json", {"vocab_size": 517}, "rows for 517"),
        ("text_encoder_2/config.json", {"max_position_embeddings": "77"}, "no max_position_embeddings"),
    ],
)
def test_a_config_that_would_pass_in_silence(configs, words, file, changes, reason):
    edit_json(configs / file, **changes)
    with pytest.raises(BadInput, match=reason):
        load_tokenizers(config_folder(configs), words)


@pytest.mark.parametrize(("content", "reason"), [("{", "cannot be read"), ("[]", "not a JSON object")])
def test_a_damaged_config(configs, words, content, reason):
    (configs / "vae" / "config.json").write_text(content)
    with pytest.raises(BadInput, match=reason):
        load_tokenizers(config_folder(configs), words)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_half_a_vocabulary(configs, words, name):
    shutil.copy(words / name, configs / "tokenizer_2" / name)
    with pytest.raises(BadInput, match="vocabulary is incomplete"):
        load_tokenizers(config_folder(configs), words)


def test_two_vocabularies_that_differ(configs, words):
    add_vocabulary(configs / "tokenizer", other_vocabulary())
    with pytest.raises(BadInput, match="two vocabularies"):
        load_tokenizers(configs, words)
    add_vocabulary(configs / "tokenizer")
    load_tokenizers(configs, words)


# -- refusing what was loaded


def test_a_whole_pipeline_passes(pipe):
    check_loaded(pipe)


def test_a_tensor_that_was_not_loaded_is_named(pipe):
    pipe.text_encoder_2.text_projection.weight = torch.nn.Parameter(torch.empty(48, 48, device="meta"))
    with pytest.raises(BadInput, match=r"1 of .* text_encoder_2 were not loaded") as error:
        check_loaded(pipe)
    assert "text_projection.weight" in error.value.lines[1]


def test_a_buffer_that_was_not_loaded_is_named(pipe):
    pipe.vae.register_buffer("scale", torch.empty(1, device="meta"))
    with pytest.raises(BadInput, match="vae were not loaded"):
        check_loaded(pipe)


def test_a_tokenizer_without_a_vocabulary(pipe, tmp_path):
    write_json(tmp_path / "empty" / "tokenizer_config.json", {"model_max_length": 77})
    pipe.tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "empty")  # transformers lets this pass
    with pytest.raises(BadInput, match="vocabulary is empty"):
        check_loaded(pipe)


def test_a_tokenizer_larger_than_the_embeddings(pipe):
    pipe.tokenizer_2.add_tokens(["one more"])
    with pytest.raises(BadInput, match="519 tokens, the text_encoder_2 has rows for 518"):
        check_loaded(pipe)


def test_a_tokenizer_that_never_cuts(pipe, configs):
    (configs / "tokenizer" / "tokenizer_config.json").unlink()
    pipe.tokenizer = CLIPTokenizer.from_pretrained(configs / "tokenizer")  # transformers lets this pass
    with pytest.raises(BadInput, match="the encoder reads 77"):
        check_loaded(pipe)


@pytest.mark.parametrize("end", [2, 49_407])
def test_an_end_token_that_is_only_found_by_its_right_id(pipe, end):
    # 2 stands for "the highest id", which is right for this vocabulary as for CLIP's.
    pipe.text_encoder_2.config.eos_token_id = end
    if end == 2:
        check_loaded(pipe)
    else:
        with pytest.raises(BadInput, match="looks for token 49407; the tokenizer_2 ends a prompt with 517"):
            check_loaded(pipe)


def test_the_wrong_pad_for_sdxls_second_tokenizer(tmp_path):
    folder = shutil.copytree(SDXL.configs, tmp_path / "configs")
    edit_json(folder / "tokenizer_2" / "tokenizer_config.json", pad_token="<|endoftext|>")
    edit_json(folder / "tokenizer_2" / "special_tokens_map.json", pad_token="<|endoftext|>")
    with pytest.raises(BadInput, match="trained with !"):
        load_tokenizers(folder)
