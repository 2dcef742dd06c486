"""The vocabulary: CLIP's comes with the package; another may be named, in two forms that must agree."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm import vocabulary as module
from gridsearch.checkpoint.ldm.vocabulary import (
    CLIP_FILE,
    CLIP_MERGES,
    CLIP_TOKENS,
    END,
    START,
    Vocabulary,
    byte_letters,
    clip_vocabulary,
    is_clip,
    read_vocabulary,
    vocabulary_files,
)

# The files that the hub's repositories of CLIP carry, by their SHA-256.
PUBLISHED = {
    "vocab.json": "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363",
    "merges.txt": "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a",
}
SMALL = Vocabulary({"a": 0, "b</w>": 1, "ab</w>": 2, START: 3, END: 4}, ("a b</w>",), "small")


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


def test_what_is_written_is_read_again(tmp_path):
    again = read_vocabulary(write_files(tmp_path, clip_vocabulary()))
    assert (again.tokens, again.merges) == (clip_vocabulary().tokens, clip_vocabulary().merges)


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
    (tmp_path / "mine.json").write_text(tokenizer_json(SMALL, list(SMALL.merges)))
    assert read_vocabulary(tmp_path).tokens == SMALL.tokens
    assert read_vocabulary(tmp_path / "tokenizer").tokens == SMALL.tokens
    assert read_vocabulary(tmp_path / "tokenizer" / "merges.txt").tokens == SMALL.tokens
    assert read_vocabulary(tmp_path / "mine.json").tokens == SMALL.tokens


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


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(module.MOST_VOCABULARY_BYTES * 1000)  # a sparse file: 32 GB that take no room
    with pytest.raises(BadInput, match="at most 33,554,432 bytes"):
        read_vocabulary(tmp_path)


def test_a_place_that_does_not_exist(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        read_vocabulary(tmp_path / "nothing")


# -- CLIP's own


def test_it_gives_the_published_files():
    assert is_clip(clip_vocabulary())
    files = vocabulary_files(clip_vocabulary())
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == PUBLISHED
    assert CLIP_FILE.read_bytes() == files["merges.txt"]


def test_ids_follow_from_the_order():
    tokens = clip_vocabulary().tokens
    assert [tokens[word] for word in ("!", "!</w>", "in", "th")] == [0, 256, 512, 513]
    assert [tokens[START], tokens[END]] == [49_406, 49_407]


def test_its_licence_lies_beside_it():
    text = (CLIP_FILE.parent / "LICENSE.txt").read_text()
    assert "MIT License" in text
    assert re.search(r"Copyright \(c\) 2021 OpenAI", text)


def test_a_vocabulary_of_clips_size_alone_is_not_clips():
    words = [f"{number:05}" for number in range(CLIP_TOKENS)]
    other = Vocabulary({word: number for number, word in enumerate(words)}, ("0 0",) * CLIP_MERGES, "other")
    assert not is_clip(other)
