"""Tensors on disk that no searched number changes, for which a run has no room in memory.

A file each, under a hash of what it is: the weight's key and the steps that make it, in a folder under a hash
of the sources' SHA-256 and of the code. So it is only found again where it would be made again, bit for bit.
Workers share it: a file is written beside its place and then renamed, by one of them or by each.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gridsearch.base.files import cache_folder
from gridsearch.merge.engine.compiled import numba_version
from gridsearch.merge.engine.fingerprint import tensor_digest

UNUSED_FOR = 7 * 86_400  # seconds after which the tensors of other runs are removed
MOST_OF_DISK = 0.5  # share of what is free and taken, that all of them together may take


@dataclass(frozen=True)
class Change:
    """A tensor times a power of two, and the largest absolute value of that."""

    tensor: Tensor
    scale: float
    greatest: float


class Shelf:
    """A folder for tensors of so many bytes. What cannot be written or read is not on it."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self._room = folder, most
        self._whole: set[Path] = set()  # files whose content was found to be as it was written

    def has(self, key: str, label: Hashable) -> bool:
        """Return whether this tensor is here."""
        return self._file(key, label).is_file()

    def find(self, key: str, label: Hashable) -> Change | None:
        """Return this tensor, mapped from its file, bit for bit as it was made; None where it is not here."""
        if not (file := self._file(key, label)).is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                said, tensor = opened.metadata(), opened.get_tensor("tensor")
            if file not in self._whole and said["digest"] != tensor_digest(tensor).hex():
                raise ValueError("it was changed")
            self._whole.add(file)
            return Change(tensor, float.fromhex(said["scale"]), float.fromhex(said["greatest"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):  # TypeError: it has no metadata
            with suppress(OSError):
                file.unlink()
            return None

    def put(self, key: str, label: Hashable, made: Change) -> None:
        """Write a tensor, where there is room for it."""
        file, tensor = self._file(key, label), made.tensor.cpu().contiguous()
        if tensor.nbytes > self._room or file.exists():
            return
        part = file.with_suffix(f".{os.getpid()}.part")
        said = {"scale": made.scale.hex(), "greatest": made.greatest.hex()}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({"tensor": tensor}, part, metadata=said | {"digest": tensor_digest(tensor).hex()})
            os.replace(part, file)
            self._room -= tensor.nbytes
        except (OSError, SafetensorError):
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _file(self, key: str, label: Hashable) -> Path:
        return self.folder / f"{hashlib.sha256(repr((key, label)).encode()).hexdigest()}.safetensors"


def shelves() -> Path:
    """Return the folder that holds all of them."""
    return cache_folder() / "changes"


def open_shelf(hashes: Mapping[str, str], device: str, most: int) -> Shelf | None:
    """Return the shelf of these sources, of which the SHA-256 is given by name; None where nothing needs one.

    Others are removed that were not used for a week, and the longest unused where there is too little room;
    None too where even then there is none.
    """
    known = repr((_code(), torch.__version__, numba_version(), device, sorted(hashes.items())))
    folder = shelves() / hashlib.sha256(known.encode()).hexdigest()[:16]
    others = sorted((one for one in shelves().glob("*") if one != folder), key=_used)
    for other in others:
        if time.time() - _used(other) > UNUSED_FOR or not (most == 0 or has_room(most, folder)):
            shutil.rmtree(other, ignore_errors=True)
    if most == 0 or not has_room(most, folder):
        return None
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    return Shelf(folder, most)


def has_room(needed: int, own: Path | None = None) -> bool:
    """Return whether tensors of so many bytes fit beside all but those of a run's `own` folder."""
    place = next(path for path in (shelves(), *shelves().parents) if path.exists())
    sizes = {file: found.st_size for file in shelves().glob("*/*") if (found := _status(file))}
    others = sum(size for file, size in sizes.items() if file.parent != own)
    return others + needed <= MOST_OF_DISK * (shutil.disk_usage(place).free + sum(sizes.values()))


def _used(folder: Path) -> float:
    found = _status(folder)
    return found.st_mtime if found else 0.0


def _status(path: Path) -> os.stat_result | None:
    """Return what the system knows of a path; None where another run has removed it meanwhile."""
    with suppress(FileNotFoundError):
        return path.lstat()
    return None


def _code() -> str:
    """Return a hash of all code that merges: what it makes may change with it."""
    files = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
