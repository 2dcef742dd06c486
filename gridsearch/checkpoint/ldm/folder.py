"""A diffusers folder's weights: the files of each component, in one of the variants that the folder has."""

import re
from itertools import islice
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.families import INDEX, MOST_INDEX_BYTES
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.header import PICKLE, PICKLE_ENDINGS

MOST_FILES = 1_000  # in a component's folder

# `model.safetensors`, `model.fp16.safetensors`, `model-00001-of-00002.safetensors`, and the indices of those:
# https://huggingface.co/docs/diffusers/using-diffusers/other-formats
_WEIGHTS = re.compile(r"(diffusion_pytorch_model|model)(\.\w{1,20})?\.safetensors", re.ASCII)
_SHARD = re.compile(r"(diffusion_pytorch_model|model)(\.\w{1,20})?-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_SHARDS = re.compile(r"(diffusion_pytorch_model|model)\.safetensors\.index(\.\w{1,20})?\.json", re.ASCII)
_AGAIN = "Download the folder again."
_PREFERRED = (None, ".fp16")  # variants; the plain one has the most precision


def component_files(folder: Path, family: Family) -> tuple[dict[str, tuple[Path, ...]], tuple[str, ...]]:
    """Return the safetensors files of each component that has weights, and notes on what was chosen.

    A BadInput where one has none: only pickles, say, or shards that are missing.
    """
    if absent := [name for name in family.pipeline_parts if not (folder / name).is_dir()]:
        pipeline = read_json_object(folder / INDEX, MOST_INDEX_BYTES, "file").get("_class_name")
        why = f"it has no {', '.join(absent)}; its {INDEX} says {pipeline!r:.60}"
        fix = f"Name a folder with the UNet, the VAE and {family.encoders} of {family.title}."
        raise BadInput(
            f"This diffusers folder is not a complete {family.title} model.", where=folder, why=why, fix=fix
        )
    found, notes = {}, []
    for name in family.pipeline_parts:
        found[name], others = _weights(folder / name)
        if others:
            read = f"{found[name][0].name}{', ...' if len(found[name]) > 1 else ''} is read"
            notes.append(f"{folder.name}/{name} has its weights more than once: {read}, {others} is not.")
    return found, tuple(notes)


def _weights(folder: Path) -> tuple[tuple[Path, ...], str]:
    """Return the weights' files, and the names of those that hold them too and are not read."""
    try:
        names = sorted(path.name for path in islice(folder.iterdir(), MOST_FILES))
    except OSError as error:
        raise BadInput("The folder cannot be read.", where=folder, why=error.strerror) from None
    choices = [
        (match[2], name) for name in names if (match := _WEIGHTS.fullmatch(name) or _SHARDS.fullmatch(name))
    ]
    if not choices:
        raise _without_weights(folder, names)
    preferred = [one for variant in _PREFERRED for one in choices if one[0] == variant]
    (_, taken), *_ = preferred or choices
    others = ", ".join(name for _, name in choices if name != taken)
    return (_shards(folder / taken) if taken.endswith(".json") else (folder / taken,)), others


def _without_weights(folder: Path, names: list[str]) -> BadInput:
    what = f"The {folder.name} of this diffusers folder has no weights in safetensors files."
    if pickles := [name for name in names if name.endswith(PICKLE_ENDINGS)]:
        why = f"{pickles[0]} {PICKLE}"
        fix = "Save the model again with safe_serialization=True, or download its safetensors files."
        return BadInput(what, where=folder, why=why, fix=fix)
    if shard := next((name for name in names if _SHARD.fullmatch(name)), None):
        why = f"of the shard {shard} the index is missing"
        return BadInput(what, where=folder, why=why, fix=_AGAIN)
    return BadInput(what, where=folder, fix="Download the folder again, with its weights.")


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the shards that an index names; only names of shards beside it are believed."""
    table = read_json_object(index, MOST_INDEX_BYTES, "index of shards").get("weight_map")
    names = sorted(set(map(str, table.values()))) if isinstance(table, dict) else []
    if not names or not all(_SHARD.fullmatch(name) for name in names):
        what = "The index of shards cannot be read."
        raise BadInput(what, where=index, why="it names no shards", fix=_AGAIN)
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        what = f"{len(absent)} of {len(names)} shards are missing, {absent[0]} first."
        raise BadInput(what, where=index.parent, fix=_AGAIN)
    return tuple(index.parent / name for name in names)
