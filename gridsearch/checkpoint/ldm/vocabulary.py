"""CLIP's vocabulary, which comes with this package, and the reading of another that the user names.

A single-file checkpoint holds the text encoders' weights and no vocabulary. Both tokenizers of SDXL use the
byte-pair encoding of OpenAI's CLIP: 49,408 tokens that follow from 48,894 merges (`clip/merges.txt`; its
licence lies beside it).
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_capped, read_json_object

CLIP_FILE = Path(__file__).parent / "clip" / "merges.txt"
START, END = "<|startoftext|>", "<|endoftext|>"

CLIP_TOKENS = 49_408
CLIP_MERGES = 49_152 - 256 - 2  # the size CLIP was trained with, less the bytes and the two markers
KNOWN_PROMPT = ("a photo of a cat", (320, 1125, 539, 320, 2368))
KNOWN_IDS = {"a</w>": 320, "photo</w>": 1125, "of</w>": 539, "cat</w>": 2368, START: 49_406, END: 49_407}

# Real files have 0.5 to 3.6 MB: anything far larger is refused before it fills the memory.
MOST_VOCABULARY_BYTES = 32 * 2**20

FIX = "Name a folder with vocab.json and merges.txt, or leave [render] vocabulary out for CLIP's own."


@dataclass(frozen=True)
class Vocabulary:
    """A byte-pair encoding: token -> id, the merges ("left right", best first), and the place it is from."""

    tokens: dict[str, int]
    merges: tuple[str, ...]
    source: str


@functools.cache
def clip_vocabulary() -> Vocabulary:
    """Return the vocabulary of OpenAI's CLIP.

    Ids follow from the order: 256 bytes, the same 256 at the end of a word, a token for each merge, and the
    two markers. https://github.com/openai/CLIP, clip/simple_tokenizer.py.
    """
    letters, merges = byte_letters(), _merges_in(CLIP_FILE)
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(m.replace(" ", "") for m in merges)]
    return Vocabulary({word: number for number, word in enumerate([*words, START, END])}, merges, "CLIP")


def is_clip(vocabulary: Vocabulary) -> bool:
    """Return whether this is the vocabulary of OpenAI's CLIP, by its size and by ids that are public."""
    known = all(vocabulary.tokens.get(token) == number for token, number in KNOWN_IDS.items())
    return known and len(vocabulary.tokens) == CLIP_TOKENS and len(vocabulary.merges) == CLIP_MERGES


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the vocabulary at `path`: a tokenizer's folder, a model's, or one of its files.

    A BadInput if nothing is there, or it is damaged.
    """
    if not path.exists():
        raise BadInput("The vocabulary does not exist.", where=path, fix=FIX)
    if path.is_file() and path.name not in ("vocab.json", "merges.txt"):
        return _read_tokenizer_json(path)
    for folder in [path.parent] if path.is_file() else [path, path / "tokenizer"]:
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            tokens = read_json_object(folder / "vocab.json", MOST_VOCABULARY_BYTES, "vocabulary")
            return _checked(Vocabulary(tokens, _merges_in(folder / "merges.txt"), str(folder)))
        if (folder / "tokenizer.json").is_file():
            return _read_tokenizer_json(folder / "tokenizer.json")
    why = "it holds neither vocab.json with merges.txt, nor tokenizer.json"
    raise BadInput("No vocabulary is there.", where=path, why=why, fix=FIX)


def vocabulary_files(vocabulary: Vocabulary) -> dict[str, bytes]:
    """Return `vocab.json` and `merges.txt`, as transformers reads them."""
    lines = ["#version: 0.2", *vocabulary.merges]
    return {
        "vocab.json": json.dumps(vocabulary.tokens, ensure_ascii=False, separators=(",", ":")).encode(),
        "merges.txt": ("\n".join(lines) + "\n").encode(),
    }


def byte_letters() -> list[str]:
    """Return the 256 letters that stand for bytes: the printable ones of Latin-1, then others."""
    spans = (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
    printable = [chr(code) for first, last in spans for code in range(ord(first), ord(last) + 1)]
    return printable + [chr(256 + n) for n in range(256 - len(printable))]


def _merges_in(file: Path) -> tuple[str, ...]:
    text = read_capped(file, MOST_VOCABULARY_BYTES, "vocabulary").decode("utf-8", errors="replace")
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return tuple(line for line in lines if line.strip() and not line.startswith("#version"))


def _read_tokenizer_json(path: Path) -> Vocabulary:
    """Read the `model` of a `tokenizer.json`, with the added tokens that it does not list itself."""
    content = read_json_object(path, MOST_VOCABULARY_BYTES, "vocabulary")
    try:
        model = content["model"]
        added = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
        tokens = dict(model["vocab"]) | added
        # Older files write a merge as "left right", newer ones as ["left", "right"].
        merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, "it is not a byte-pair encoding") from error
    return _checked(Vocabulary(tokens, merges, str(path)))


def _checked(vocabulary: Vocabulary) -> Vocabulary:
    """Return the vocabulary if its ids are 0, 1, 2, ... and each merge is of tokens, into a token."""
    tokens, source = vocabulary.tokens, vocabulary.source
    if not all(type(number) is int for number in tokens.values()):
        raise _broken(source, "an id is not a whole number")
    if not tokens or sorted(tokens.values()) != list(range(len(tokens))):
        raise _broken(source, "its ids are not 0, 1, 2, ... without gaps or repeats")
    for merge in vocabulary.merges:
        left, _, right = merge.partition(" ")
        if not {left, right, left + right} <= tokens.keys():
            raise _broken(source, f"the merge {merge!r} is not of tokens, into a token")
    return vocabulary


def _broken(source: object, why: str) -> BadInput:
    return BadInput("This is not a usable vocabulary.", where=source, why=why, fix=FIX)
