"""Component folders: the package's configs, what is joined to them, and what must not pass in silence."""

import shutil

import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from transformers import CLIPTokenizer

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl import components
from gridsearch.checkpoint.sdxl.components import (
    CLIP_PADS,
    CONFIG_FILES,
    SDXL_CONFIGS,
    check_loaded,
    component_folder,
    default_cache,
    load_tokenizers,
)
from gridsearch.checkpoint.sdxl.layout import file_views
from gridsearch.checkpoint.sdxl.skeleton import skeleton
from gridsearch.checkpoint.sdxl.vocabulary import KNOWN_PROMPT, Vocabulary, byte_letters, vocabulary_files
from tests.helpers.clip import real_archive
from tests.helpers.tiny_components import (
    edit_json,
    random_components,
    tiny_vocabulary,
    write_configs,
    write_json,
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


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
    for name in CLIP_PADS:
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


def files_under(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def other_vocabulary() -> Vocabulary:
    letters = byte_letters()
    return Vocabulary({letter: number for number, letter in enumerate(letters)}, (), "other")


# -- SDXL's own configs


def test_the_packages_configs_are_sdxls():
    modules = skeleton(SDXL_CONFIGS)
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
    scheduler = EulerDiscreteScheduler.from_pretrained(SDXL_CONFIGS / "scheduler")
    # The largest sigma of SDXL's schedule, as k-diffusion and the web UIs print it.
    assert scheduler.sigmas.max().item() == pytest.approx(14.6146, abs=1e-4)


def test_sdxl_with_clips_vocabulary(tmp_path):
    folder = component_folder(vocabulary=real_archive(), cache=tmp_path)
    text, ids = KNOWN_PROMPT
    for name, tokenizer in load_tokenizers(folder).items():
        pad = tokenizer.convert_tokens_to_ids(CLIP_PADS[name])
        filled = tokenizer(text, padding="max_length", truncation=True).input_ids
        assert filled == [49_406, *ids, 49_407, *[pad] * 70]
        assert len(tokenizer("cat " * 200, truncation=True).input_ids) == 77


def test_exclamation_marks_are_read_as_the_original_code_reads_them(tmp_path):
    folder = component_folder(vocabulary=real_archive(), cache=tmp_path)
    for tokenizer in load_tokenizers(folder).values():
        # open_clip.tokenize("! !! !!!"), from the issue that `load_tokenizers` names
        assert tokenizer("! !! !!!").input_ids == [49_406, 256, 748, 995, 49_407]


def test_prompts_are_read_as_an_independent_tokenizer_reads_them(tmp_path):
    oracle = pytest.importorskip("instant_clip_tokenizer").Tokenizer()
    tokenizers = load_tokenizers(component_folder(vocabulary=real_archive(), cache=tmp_path))
    for prompt in (
        "1boy, astolfo, car, (masterpiece:1.2), best quality, 8k",
        "It's a DOG's life -- isn't it?! <lora:x:0.8> BREAK",
        "ünïcödé ñandú 日本 кот  tab\tand\nline",
        "supercalifragilisticexpialidocious 3.14159 a_b-c/d\\e",
    ):
        for tokenizer in tokenizers.values():
            assert tokenizer(prompt).input_ids[1:-1] == oracle.encode(prompt)


def test_for_sdxl_no_other_vocabulary_than_clips_will_do(tmp_path, words):
    with pytest.raises(BadInput, match="not CLIP's"):
        component_folder(vocabulary=words, cache=tmp_path)


# -- joining


def test_a_vocabulary_is_joined_to_configs_without_one(tmp_path, configs, words):
    folder = component_folder(configs, words, cache=tmp_path / "cache")
    assert folder.parent == tmp_path / "cache"
    lacking = set(files_under(folder)) - set(files_under(configs))
    assert lacking == {f"{name}/{file}" for name in CLIP_PADS for file in ("vocab.json", "merges.txt")}
    for tokenizer in load_tokenizers(folder).values():
        assert tokenizer("Red cat").input_ids == [516, 515, 513, 517]


def test_a_complete_folder_is_used_as_it_is(tmp_path, configs):
    for name in CLIP_PADS:
        add_vocabulary(configs / name)
    assert component_folder(configs, cache=tmp_path / "cache") == configs
    assert not (tmp_path / "cache").exists()


def test_weights_are_not_copied(tmp_path, configs, words):
    (configs / "unet" / "model.safetensors").write_bytes(b"weights")
    assert "unet/model.safetensors" not in files_under(component_folder(configs, words, tmp_path / "cache"))


def test_a_folder_is_joined_once_and_mended_when_damaged(tmp_path, configs, words):
    first = component_folder(configs, words, cache=tmp_path / "cache")
    before = (first / "vae" / "config.json").stat().st_mtime_ns
    assert component_folder(configs, words, cache=tmp_path / "cache") == first
    assert (first / "vae" / "config.json").stat().st_mtime_ns == before
    (first / "tokenizer" / "vocab.json").write_text("{}")
    assert component_folder(configs, words, cache=tmp_path / "cache") == first
    assert (first / "tokenizer" / "vocab.json").read_bytes() == (words / "vocab.json").read_bytes()
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [first.name]


def test_other_content_is_another_folder(tmp_path, configs, words):
    first = component_folder(configs, words, cache=tmp_path / "cache")
    edit_json(configs / "vae" / "config.json", scaling_factor=0.2)
    assert component_folder(configs, words, cache=tmp_path / "cache") != first


def test_two_processes_may_join_at_once(tmp_path, configs, words, monkeypatch):
    ours = components._rename_unless_there

    def another_was_first(beside, place):
        shutil.copytree(beside, place)
        ours(beside, place)

    monkeypatch.setattr(components, "_rename_unless_there", another_was_first)
    folder = component_folder(configs, words, cache=tmp_path / "cache")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_cache_that_cannot_be_written(tmp_path, configs, words):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="XDG_CACHE_HOME"):
        component_folder(configs, words, cache=tmp_path / "file" / "cache")


def test_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "gridsearch" / "components"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert default_cache() == tmp_path / "home" / ".cache" / "gridsearch" / "components"


# -- refusing a folder


@pytest.mark.parametrize(
    "file", ["model_index.json", *(f"{name}/{file}" for name, file in CONFIG_FILES.items())]
)
def test_every_config_is_needed(configs, words, file):
    (configs / file).unlink()
    with pytest.raises(BadInput, match=file):
        component_folder(configs, words)


def test_a_folder_that_does_not_exist(tmp_path, words):
    with pytest.raises(BadInput, match="does not exist"):
        component_folder(tmp_path / "nowhere", words)
    with pytest.raises(BadInput, match="not a folder"):
        component_folder(words / "vocab.json", words)


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
        component_folder(configs, words)


@pytest.mark.parametrize(("content", "reason"), [("{", "cannot be read"), ("[]", "not a JSON object")])
def test_a_damaged_config(configs, words, content, reason):
    (configs / "vae" / "config.json").write_text(content)
    with pytest.raises(BadInput, match=reason):
        component_folder(configs, words)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_half_a_vocabulary(configs, words, name):
    shutil.copy(words / name, configs / "tokenizer_2" / name)
    with pytest.raises(BadInput, match="Half a vocabulary"):
        component_folder(configs, words)


def test_two_vocabularies_that_differ(tmp_path, configs, words):
    add_vocabulary(configs / "tokenizer", other_vocabulary())
    with pytest.raises(BadInput, match="two vocabularies"):
        component_folder(configs, words, tmp_path / "cache")
    add_vocabulary(configs / "tokenizer")
    assert component_folder(configs, words, tmp_path / "cache").parent == tmp_path / "cache"


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
        with pytest.raises(BadInput, match="looks for token 49407; the tokenizer_2 ends a prompt by 517"):
            check_loaded(pipe)


def test_the_wrong_pad_for_sdxls_second_tokenizer(tmp_path):
    folder = component_folder(vocabulary=real_archive(), cache=tmp_path)
    edit_json(folder / "tokenizer_2" / "tokenizer_config.json", pad_token="<|endoftext|>")
    edit_json(folder / "tokenizer_2" / "special_tokens_map.json", pad_token="<|endoftext|>")
    with pytest.raises(BadInput, match="SDXL with !"):
        load_tokenizers(folder)
