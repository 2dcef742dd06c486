"""A model in any of the layouts in which people keep it, opened as one checkpoint in the original layout.

It may be a single file with some keys under other names, its parts in files of their own, or a folder of
diffusers. Whatever it is, its tensors have the keys and the shapes of a single file in the original layout,
and `Checkpoint.pieces` says where each of them lies. Headers are read, and no weights.
"""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import INDEX, family_of_folder, family_of_keys, family_of_parts
from gridsearch.checkpoint.family import VAE, VAE_COMPONENT, Family
from gridsearch.checkpoint.header import Checkpoint, PartFile, StoredTensor, TensorInfo, open_checkpoint
from gridsearch.checkpoint.ldm.folder import component_files
from gridsearch.checkpoint.ldm.names import UNUSED, VAE_ATTENTION, Place, is_original, places_in_file
from gridsearch.checkpoint.sdxl.family import SDXL

_VAE_PROOF = f"{VAE}decoder.mid.attn_1.q.weight"  # a weight that is in no other part

_Files = Mapping[str, Sequence[Checkpoint]]  # part -> its files


def open_model(place: Path | Mapping[str, Path]) -> Checkpoint:
    """Open a file, a folder of diffusers, or the parts of a model in files of their own (part -> file).

    A BadInput where a file is missing, broken or no safetensors file, where a part is not what it is said to
    be, or where a folder does not hold all of them.
    """
    if not isinstance(place, Path):
        family = family_of_parts(place.keys())
        parts = {part: (open_checkpoint(place[part]),) for part in family.parts if part in place}
        return _of_parts(place["unet"], parts, family)
    if not (place / INDEX).is_file():
        return _in_original_names(open_checkpoint(place))
    family = family_of_folder(place)
    found, notes = component_files(place, family)
    files = {family.pipeline_parts[name]: tuple(map(open_checkpoint, own)) for name, own in found.items()}
    return replace(_of_parts(place, {part: files[part] for part in family.parts}, family), notes=notes)


def family_at(place: Path | Mapping[str, Path]) -> Family:
    """Return the family of a model that need not exist or be sound; SDXL where nothing tells."""
    if not isinstance(place, Path):
        return family_of_parts(place.keys())
    try:
        state = place.stat()
    except (OSError, ValueError):
        return SDXL
    return _family_at(place, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=100)
def _family_at(place: Path, *_: int) -> Family:
    if (place / INDEX).is_file():
        return family_of_folder(place)
    try:
        return family_of_keys(open_checkpoint(place).tensors)
    except BadInput:
        return SDXL


def open_part(part: str, path: Path, family: Family = SDXL) -> Checkpoint:
    """Open a file that holds a part of a model, with the keys that it has in a whole checkpoint.

    A VAE is named alike in all families.
    """
    file = open_checkpoint(path)
    tensors, pieces = _assembled(path, (file,), places_in_file(family, part, file.tensors))
    _require_part(part, tensors, path, family)
    return replace(file, tensors=tensors, pieces=pieces)


def _in_original_names(file: Checkpoint) -> Checkpoint:
    """Return a single file with its keys in the original layout; itself where they are."""
    family = family_of_keys(file.tensors)
    odd = {
        part
        for part, prefix in family.parts.items()
        for key, info in file.tensors.items()
        if key.startswith(prefix) and not (is_original(key) and _shape(key, info.shape) == info.shape)
    }
    if not odd:
        return file
    placed = {key: Place(key) for key in file.tensors}
    for part in odd:
        own = [key for key in file.tensors if key.startswith(family.parts[part])]
        found = places_in_file(family, part, own)
        if any(not place.key.startswith(UNUSED) for place in found.values()):
            placed |= found  # else it is another model's, which is known by its own names
    tensors, pieces = _assembled(file.path, (file,), placed)
    return replace(file, tensors=tensors, pieces=pieces)


def _of_parts(path: Path, files: _Files, family: Family) -> Checkpoint:
    tensors: dict[str, TensorInfo] = {}
    pieces: dict[str, tuple[StoredTensor, ...]] = {}
    parts: list[PartFile] = []
    for part, own in files.items():
        names = [key for file in own for key in file.tensors]
        found, where = _assembled(path, own, places_in_file(family, part, names))
        _require_part(part, found, own[0].path, family)
        tensors |= found
        pieces |= where
        for number, file in enumerate(own, 1):
            label = part if len(own) == 1 else f"{part} {number} of {len(own)}"
            parts.append(PartFile(label, file.path, file.bytes))
    sizes = {part.path: part.bytes for part in parts}
    return Checkpoint(path, sum(sizes.values()), tensors, files["unet"][0].metadata, pieces, tuple(parts))


def _require_part(part: str, tensors: Mapping[str, TensorInfo], path: Path, family: Family) -> None:
    words = {"unet": (f"UNet of {family.title}", family.proof), VAE_COMPONENT: ("VAE", _VAE_PROOF)}
    words |= {one.part: (one.words, one.proof) for one in family.text_encoders}
    what, proof = words[part]
    if proof not in tensors:
        why = f"it has nothing under any name of {proof}"
        fix = f"Name the file that holds the {what}, or a whole checkpoint that has it."
        raise BadInput(f"There is no {what} in this file.", where=path, why=why, fix=fix)


# -- keys, and where they lie


def _assembled(
    path: Path, files: Sequence[Checkpoint], placed: Mapping[str, Place]
) -> tuple[dict[str, TensorInfo], dict[str, tuple[StoredTensor, ...]]]:
    """Return the tensors by their keys in the original layout, and where they lie that are elsewhere."""
    held = {name: file for file in files for name in file.tensors}
    rows: dict[str, dict[int, str]] = defaultdict(dict)
    for name, place in placed.items():
        rows[place.key][place.row] = name
    tensors, pieces = {}, {}
    for key, own in rows.items():
        names = [own[row] for row in sorted(own)]
        infos = [held[name].tensors[name] for name in names]
        found = tuple(StoredTensor(held[name].path, name, placed[name].transposed) for name in names)
        tensors[key] = _info(key, infos, found)
        if found != (StoredTensor(path, key),) or tensors[key] != infos[0]:
            pieces[key] = found
    return tensors, pieces


def _info(key: str, infos: Sequence[TensorInfo], pieces: Sequence[StoredTensor]) -> TensorInfo:
    """Return dtype and shape of the tensor that these make up; a BadInput where they do not fit together."""
    first = infos[0]
    without_rows = len(infos) > 1 and not all(info.shape for info in infos)
    if without_rows or any((info.dtype, info.shape[1:]) != (first.dtype, first.shape[1:]) for info in infos):
        why = " and ".join(
            f"{piece.key} is {info.dtype} {list(info.shape)}"
            for piece, info in zip(pieces, infos, strict=True)
        )
        what = f"The tensors of {key} do not fit together."
        raise BadInput(what, where=pieces[0].file, why=why, fix="Save the model again.")
    shape = first.shape[::-1] if pieces[0].transposed else first.shape
    if len(infos) > 1:
        shape = (sum(info.shape[0] for info in infos), *first.shape[1:])
    return TensorInfo(first.dtype, _shape(key, shape))


def _shape(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a tensor's shape in the original layout, where a linear layer may be a convolution."""
    is_linear = len(shape) in (2, 3) and all(side == 1 for side in shape[2:])
    return (*shape[:2], 1, 1) if is_linear and VAE_ATTENTION.fullmatch(key) else shape
