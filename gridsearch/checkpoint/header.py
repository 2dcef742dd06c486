"""A checkpoint file's header, read and checked: no weight is loaded, no pickle is opened."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from gridsearch.base.errors import BadInput
from gridsearch.base.files import near_name

# Bytes an element, by safetensors' dtype names.
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
# The other dtypes of https://github.com/huggingface/safetensors (0.8): bits an element, and what it is.
UNMERGED = {
    "F4": (4, "a 4-bit format"),
    "F6_E2M3": (6, "a 6-bit format"),
    "F6_E3M2": (6, "a 6-bit format"),
    "F8_E8M0": (8, "an 8-bit format of powers of two, for scales"),
    "F8_E4M3FNUZ": (8, "an 8-bit format of AMD's"),
    "F8_E5M2FNUZ": (8, "an 8-bit format of AMD's"),
    "C64": (64, "a format of complex numbers"),
}
KNOWN_DTYPES = frozenset({*ITEM_BYTES, *UNMERGED})
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit; a real SDXL header is about 300 kB
# Parsed, a header takes up to thirty times its bytes: a small file may have a small one only.
SMALL_HEADER_BYTES, HEADER_SHARE = 4_000_000, 1 / 16
MOST_TENSORS = 20_000  # SDXL has 2,515
MOST_BRACKETS = 3 * MOST_TENSORS + 100_000  # three of a tensor, and some in the metadata's texts
LONGEST_KEY = 500  # characters; real ones have less than 150
MOST_SIDES = 64  # of a tensor, as torch has it
LARGEST_NUMBER = 2**63 - 1
ENDING = ".safetensors"

PICKLE_ENDINGS = (".ckpt", ".pt", ".pth", ".bin")
PICKLE = "is a pickle, which can run code when it is opened"
SAFE_VERSION = "Use the .safetensors version of the model."
PLAIN_VERSION = "Use the fp16 or bf16 version of the model."
DTYPE_NAME = re.compile(r"[A-Z]{1,5}\d{1,3}(_\w{1,14})?", re.ASCII)
AGAIN = "Download or copy the file again."

# How files begin that are met under the name of a checkpoint.
BEGINNINGS = {
    b"\x80": (f"{PICKLE}, under another name", SAFE_VERSION),
    b"PK\x03\x04": ("is a zip, most likely of a pickle as torch.save writes it", SAFE_VERSION),
    b"GGUF": ("is a GGUF file, whose weights are quantised and cannot be merged", SAFE_VERSION),
    b"version ": ("is a Git LFS pointer and not the model itself", "Fetch the model: git lfs pull."),
    b"<": ("is a web page and not a model", "Download it again; the site may want you to log in first."),
    b"%PDF": ("is a PDF and not a model", "Name the model's .safetensors file."),
    b"\x89PNG": ("is a picture and not a model", "Name the model's .safetensors file."),
    b"\xff\xd8\xff": ("is a picture and not a model", "Name the model's .safetensors file."),
}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        bits = UNMERGED[self.dtype][0] if self.dtype in UNMERGED else 8 * ITEM_BYTES[self.dtype]
        return math.prod(self.shape) * bits // 8

    @property
    def merges(self) -> bool:
        """Return whether it is merged: integers and empty markers are copied, never blended."""
        return self.dtype in FLOATS and self.bytes > 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file that is the whole of a checkpoint's tensor, or some rows of it."""

    file: Path
    key: str
    transposed: bool = False


@dataclass(frozen=True)
class PartFile:
    """A file that holds a part of a model; of several files with one part, the label says which it is."""

    label: str
    path: Path
    bytes: int


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file, or a model in several: its keys with dtype and shape, and its metadata.

    Attributes:
        path: the file, the folder, or of a model in several files the one that holds its UNet.
        bytes: the size of all files.
        pieces: where the tensors lie that the file at `path` does not hold under their own keys.
        parts: the files of a model that is in several.
        notes: what was chosen or left out when it was opened, in sentences.
    """

    path: Path
    bytes: int
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    pieces: Mapping[str, tuple[StoredTensor, ...]] = field(default_factory=dict)
    parts: tuple[PartFile, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files that hold weights."""
        return tuple(dict.fromkeys(part.path for part in self.parts)) or (self.path,)

    @property
    def title(self) -> str:
        """Return the name of the file or folder, and how many more files there are."""
        more = len(self.files) - 1
        return self.path.name + (f" and {more} more" if more and not self.path.is_dir() else "")

    @property
    def copied(self) -> int:
        """Return the bytes of the tensors that are transposed or put together, and so no views of a file."""
        made = [key for key, held in self.pieces.items() if len(held) > 1 or held[0].transposed]
        return sum(self.tensors[key].bytes for key in made)

    def file_of(self, key: str) -> Path:
        """Return the file that holds a tensor, or its first rows."""
        return self.pieces[key][0].file if key in self.pieces else self.path

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Return the dtypes of the merging weights, the most frequent first."""
        found = [info.dtype for info in self.tensors.values() if info.merges]
        return tuple(sorted(set(found), key=found.count, reverse=True))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors header; a BadInput says what is wrong with the file, or what it is instead."""
    first = b""
    try:
        _require_file(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            header, data_bytes = _header(file, int.from_bytes(first, "little"), size)
        found = _checked(path, size, header, data_bytes)
        with safe_open(path, framework="numpy"):  # the library that will read the weights is stricter
            return found
    except OSError as error:
        raise BadInput("The checkpoint cannot be read.", where=path, why=error.strerror) from None
    except (ValueError, RecursionError, SafetensorError) as error:
        for beginning, (what, fix) in BEGINNINGS.items():
            if first.startswith(beginning):
                raise BadInput(f"This file {what}.", where=path, fix=fix) from None
        raise BadInput("This is not a safetensors file.", where=path, why=str(error), fix=AGAIN) from None


def _require_file(path: Path) -> None:
    if path.is_dir():
        fix = "Name a .safetensors file, or a folder of diffusers with its model_index.json."
        raise BadInput("This is a folder, not a checkpoint.", where=path, fix=fix)
    if not path.is_file():
        fix = near_name(path) or "Check the path; in an experiment file it is relative to that file."
        if any(part in ("http:", "https:") for part in path.parts):
            fix = "Models are read from this machine: download the file, and name it."
        raise BadInput("There is no such checkpoint.", where=path, fix=fix)
    if path.suffix.lower() in PICKLE_ENDINGS:
        raise BadInput(f"This checkpoint {PICKLE}.", where=path, fix=SAFE_VERSION)


def _header(file: BinaryIO, header_bytes: int, size: int) -> tuple[Any, int]:
    """Read the header as JSON, with the bytes of weights that follow it; a ValueError if it is none."""
    if size == 0:
        raise ValueError("the file is empty")
    if size < 8 or not 2 <= header_bytes <= min(MAX_HEADER_BYTES, size - 8):
        raise ValueError(f"the header would be {header_bytes:,} bytes in a file of {size:,}")
    if header_bytes > SMALL_HEADER_BYTES + HEADER_SHARE * size:
        raise ValueError(f"a header of {header_bytes:,} bytes is too large for a file of {size:,}")
    raw = file.read(header_bytes)
    if raw.count(b"{") + raw.count(b"[") > MOST_BRACKETS:
        raise ValueError(f"the header has more in it than {MOST_TENSORS:,} tensors")
    return json.loads(raw.decode(), object_pairs_hook=_once), size - 8 - header_bytes


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, and refuse a key that occurs twice: two readers may see different values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the header has a key twice")
    return found


def _checked(path: Path, size: int, header: Any, data_bytes: int) -> Checkpoint:
    """Return what a header describes; a ValueError if it is none, a BadInput if the weights are cut short."""
    if not isinstance(header, dict):
        raise ValueError("the header is not a table")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("the header's metadata is not a table of texts")
    if len(header) > MOST_TENSORS:
        raise ValueError(f"the header has {len(header):,} tensors; {MOST_TENSORS:,} are allowed")
    tensors, needed = {}, 0
    for key, entry in header.items():
        _require_known_dtype(path, key, entry)
        tensors[key], end = _tensor(key, entry)
        needed = max(needed, end)
    if needed > data_bytes:
        missing = f"{needed - data_bytes:,} of {needed:,} bytes of weights are missing"
        raise BadInput(f"The checkpoint is truncated: {missing}.", where=path, fix=AGAIN)
    return Checkpoint(path, size, tensors, metadata)


def _require_known_dtype(path: Path, key: str, entry: Any) -> None:
    """Refuse a dtype that is newer than this program: the file is whole, so another download is no help."""
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    if isinstance(dtype, str) and dtype not in KNOWN_DTYPES and DTYPE_NAME.fullmatch(dtype):
        what = f"The weights of this checkpoint are {dtype}, a format that is not known here."
        raise BadInput(what, where=path, why=f"{key[:80]!r} first", fix=PLAIN_VERSION)


def _tensor(key: str, entry: Any) -> tuple[TensorInfo, int]:
    """Return a tensor, and the offset at which it ends."""
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise ValueError(f"{key[:80]!r} is not a tensor name")
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"{key[:80]!r} is not described")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KNOWN_DTYPES:
        raise ValueError(f"{key[:80]!r} has the unknown dtype {dtype!r:.20}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{key[:80]!r} has no shape or no place")
    info = TensorInfo(dtype, tuple(shape))
    if offsets[1] - offsets[0] != info.bytes:
        raise ValueError(f"{key[:80]!r} has impossible offsets")
    return info, offsets[1]


def _are_counts(numbers: Any) -> bool:
    """Return whether this is a list of whole numbers from 0 up. (True is an int to Python.)"""
    if not isinstance(numbers, list) or len(numbers) > MOST_SIDES:
        return False
    return all(type(number) is int and 0 <= number <= LARGEST_NUMBER for number in numbers)


def require_name(path: Path) -> None:
    """Refuse a model whose name has another ending: diffusers would open the file as a pickle."""
    if path.suffix != ENDING:
        raise BadInput(
            f"A model's file has a name that ends in {ENDING}.", where=path, fix=f"Rename it: *{ENDING}."
        )
