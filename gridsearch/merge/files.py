"""What a checkpoint file is, read from its header alone: no weight is loaded, no pickle is opened."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gridsearch.errors import BadInput

# Bytes an element, by safetensors' dtype names.
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit; a real SDXL header is about 300 kB


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def merges(self) -> bool:
        """Whether arithmetic on it makes sense: integers and empty markers are copied, never blended."""
        return self.dtype in FLOATS and self.bytes > 0


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file: its keys with dtype and shape, and its metadata."""

    path: Path
    bytes: int
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of the merging weights, the most frequent first."""
        found = [info.dtype for info in self.tensors.values() if info.merges]
        return tuple(sorted(set(found), key=found.count, reverse=True))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors header.

    Raises:
        BadInput: the file is missing, is a folder or a pickle, is truncated or is not safetensors.
    """
    if path.is_dir():
        raise _folder(path)
    if not path.is_file():
        raise BadInput(
            "There is no such checkpoint.",
            where=path,
            fix="Check the path; in an experiment file it is relative to that file.",
        )
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin"):
        raise BadInput(f"This checkpoint {PICKLE}.", where=path, fix=SAFE_VERSION)
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        header_bytes = int.from_bytes(first, "little")
        if size < 8 or not 2 <= header_bytes <= min(MAX_HEADER_BYTES, size - 8):
            raise _not_safetensors(
                path, first, f"the header would be {header_bytes:,} bytes in a file of {size:,}"
            )
        try:
            header = json.loads(file.read(header_bytes))
            return _checked(path, size, header, size - 8 - header_bytes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _not_safetensors(path, first, f"the header cannot be read ({error})") from None


def _checked(path: Path, size: int, header: dict, data_bytes: int) -> Checkpoint:
    metadata = header.pop("__metadata__", {})
    for key, entry in header.items():
        if entry["dtype"] not in ITEM_BYTES:
            raise ValueError(f"{key[:80]!r} has the unknown dtype {str(entry['dtype'])[:20]!r}")
    tensors = {key: TensorInfo(entry["dtype"], tuple(entry["shape"])) for key, entry in header.items()}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        if min(tensors[key].shape, default=1) < 0 or end - begin != tensors[key].bytes or begin < 0:
            raise ValueError(f"{key[:80]!r} has impossible offsets")
    needed = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if needed > data_bytes:
        missing = f"{needed - data_bytes:,} of {needed:,} bytes of weights are missing"
        raise BadInput(f"The checkpoint is truncated: {missing}.", where=path, fix=AGAIN)
    return Checkpoint(path, size, tensors, {str(k): str(v) for k, v in metadata.items()})


# -- what it is instead


PICKLE = "is a pickle, which can run code when it is opened"
SAFE_VERSION = "Use the .safetensors version of the model."
AGAIN = "Download or copy the file again."

# How files begin that are met under the name of a checkpoint.
BEGINNINGS = {
    b"\x80": (f"{PICKLE}, under another name", SAFE_VERSION),
    b"PK\x03\x04": ("is a zip, most likely of a pickle as torch.save writes it", SAFE_VERSION),
    b"GGUF": ("is a GGUF file, whose weights are quantised and cannot be merged", SAFE_VERSION),
    b"version ": ("is a Git LFS pointer and not the model itself", "Fetch the model: git lfs pull."),
    b"<": ("is a web page and not a model", "Download it again; the site may want you to log in first."),
}


def _not_safetensors(path: Path, first: bytes, why: str) -> BadInput:
    for beginning, (what, fix) in BEGINNINGS.items():
        if first.startswith(beginning):
            return BadInput(f"This file {what}.", where=path, fix=fix)
    return BadInput("This is not a safetensors file.", where=path, why=why, fix=AGAIN)


def _folder(path: Path) -> BadInput:
    if not (path / "model_index.json").is_file():
        return BadInput("This is a folder, not a checkpoint.", where=path, fix="Name a .safetensors file.")
    return BadInput(
        "This is a diffusers folder; what is merged are single files.",
        where=path,
        fix="Convert it with diffusers' scripts/convert_diffusers_to_original_sdxl.py --use_safetensors.",
    )
