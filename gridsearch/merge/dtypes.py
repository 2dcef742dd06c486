"""The dtype in which a merge keeps each weight: the first model's, unless it is too coarse or one is chosen.

An 8-bit float has 3 or 2 bits behind its leading one, so a merge that is kept in it would lose every change
smaller than a sixteenth of a weight: neighbouring ratios would give the same values. Such weights are kept in
float16, which holds all values of both 8-bit formats exactly.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.checkpoint.header import ITEM_BYTES, Checkpoint, TensorInfo
from gridsearch.checkpoint.ldm.recognise import own_keys
from gridsearch.experiment.recipe import Recipe

OutputDtype = Literal["float16", "bfloat16", "float32"]
FILE_DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}  # as safetensors calls them


def as_written(info: TensorInfo, chosen: str | None = None) -> TensorInfo:
    """Return a tensor as a merged file keeps it; `chosen` is one of `FILE_DTYPES`, for all floats."""
    if not info.merges:
        return info
    if chosen:
        return replace(info, dtype=FILE_DTYPES[chosen])
    return replace(info, dtype="F16") if ITEM_BYTES[info.dtype] == 1 else info


def checked_dtype(given: str | None) -> str | None:
    """Return the dtype that the command line chooses; a BadInput where it is none of the three."""
    if given is not None and given not in FILE_DTYPES:
        raise BadInput(f"--dtype {given} cannot be used.", fix=nearest_text(given, FILE_DTYPES))
    return given


def dtype_notes(
    recipe: Recipe, checkpoints: Mapping[str, Checkpoint], chosen: str | None = None
) -> list[str]:
    """Return a note where a merge is kept in another dtype than the files that give it theirs."""
    notes = []
    for name in _giving(recipe, checkpoints):
        usual = checkpoints[name].dtypes
        if chosen and usual != (FILE_DTYPES[chosen],):
            notes.append(f"{name} is {', '.join(usual)}; the merge is written in {chosen}.")
        elif not chosen and (coarse := _eight_bits(checkpoints[name])):
            notes.append(
                f"{name} is in an 8-bit format ({coarse}), which would round most of a merge's changes away: "
                "the merge is kept in float16."
            )
    return notes


def widened_models(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return the models whose 8-bit weights are kept in float16."""
    return [name for name in _giving(recipe, checkpoints) if _eight_bits(checkpoints[name])]


def _giving(recipe: Recipe, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Return the models that give a merge its dtypes: the first one, and those that lend a component."""
    names = (recipe.merged_models()[0], recipe.components.text_encoders, recipe.vae_source())
    return [name for name in dict.fromkeys(names) if name in checkpoints]


def _eight_bits(checkpoint: Checkpoint) -> str:
    kinds = {info.dtype for info in own_keys(checkpoint).values() if as_written(info) != info}
    return ", ".join(sorted(kinds))
