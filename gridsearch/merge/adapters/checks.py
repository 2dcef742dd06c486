"""Refusals of files that are no adapter for SDXL, or not one that adds to weights in proportion."""

from collections.abc import Mapping

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import FLOATS, Checkpoint
from gridsearch.checkpoint.sdxl.adapter_names import DELTA_PARTS, UNSUPPORTED, other_model_of
from gridsearch.checkpoint.sdxl.keys import TensorRows
from gridsearch.checkpoint.sdxl.recognise import ADAPTERS, architecture
from gridsearch.merge.adapters.deltas import DeltaKind, delta_shape, shapes_agree

_NO_CHECKPOINT = (*ADAPTERS, "no model that is known here")


def require_adapter(checkpoint: Checkpoint, found: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse, in words, a checkpoint, and an adapter of a kind that is not linear or not known.

    Args:
        found: module -> part -> the adapter's key.
    """
    known = set(DELTA_PARTS.values())
    kind = architecture(checkpoint)
    if kind not in _NO_CHECKPOINT and not any(known & parts.keys() for parts in found.values()):
        raise BadInput(
            f"This is {kind}, not an adapter.",
            where=checkpoint.path,
            fix="A checkpoint is merged as a model: name it under [models].",
        )
    for key in checkpoint.tensors:
        for rest, why in UNSUPPORTED.items():
            if key.endswith(f".{rest}"):
                raise BadInput(
                    f"This adapter is {why}.",
                    where=checkpoint.path,
                    why=f"it has {key}",
                    fix="Bake it into a checkpoint with the program that trained it, and merge that.",
                )
    for module, parts in found.items():
        if strange := [key for part, key in parts.items() if part not in known]:
            raise BadInput(
                f"The adapter has a part that is not known here: {strange[0]}.",
                where=checkpoint.path,
                why=f"it belongs to {module}, and ignoring it would change the result",
                fix="Use a LoRA, LoCon, LoHa, LoKr or full difference.",
            )


def nothing_fits(checkpoint: Checkpoint) -> BadInput:
    """Return the error for an adapter of another model."""
    keys = list(checkpoint.tensors)
    other = other_model_of(keys)
    return BadInput(
        "The adapter changes nothing that SDXL has"
        + (f": its keys are those of {other}." if other else f", in none of its {len(keys):,} tensors."),
        where=checkpoint.path,
        why=f"its keys look like {', '.join(keys[:2])}" if keys else "it is empty",
        fix="Name an adapter that was trained on an SDXL model.",
    )


def require_float_parts(checkpoint: Checkpoint, keys: Mapping[str, str]) -> None:
    """Refuse integers, and tensors without elements."""
    for part, key in keys.items():
        info = checkpoint.tensors[key]
        if part != "alpha" and not info.merges:
            raise BadInput(
                f"The adapter's {key} holds no numbers that can be added to weights.",
                where=checkpoint.path,
                why=f"{info.dtype}, of shape {list(info.shape)}",
                fix=f"Save the adapter again in one of {', '.join(FLOATS)}.",
            )


def require_fit(
    checkpoint: Checkpoint,
    module: str,
    kind: DeltaKind,
    shapes: Mapping[str, tuple[int, ...]],
    rows: TensorRows,
) -> None:
    """Refuse, before anything is allocated, a change of another shape than the weight's."""
    wanted = rows.shape[::-1] if rows.transposed else rows.shape
    try:
        shape = delta_shape(kind, shapes)
        if shapes_agree(shape, wanted):
            return
        why = f"{list(shape)} in the adapter, {list(wanted)} in the checkpoint"
    except ValueError as error:
        parts = ", ".join(f"{part} {list(shape)}" for part, shape in shapes.items())
        why = f"{parts}: {error}"
    other = other_model_of(checkpoint.tensors)
    raise BadInput(
        f"The adapter's change of {module} does not fit the checkpoint"
        + (f": its keys are those of {other}." if other else "."),
        where=checkpoint.path,
        why=why,
        fix="Name an adapter that was trained on an SDXL model of this size.",
    )
