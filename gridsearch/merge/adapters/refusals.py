"""Refusals of files that are no adapter for the models, or not one that can be applied, in words."""

from collections.abc import Mapping

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.header import FLOATS, Checkpoint
from gridsearch.checkpoint.ldm.adapter_files import ADAPTERS
from gridsearch.checkpoint.ldm.adapter_names import (
    DELTA_PARTS,
    SHARED_PARTS,
    UNSUPPORTED,
    other_model_of,
    without_adapter_name,
)
from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.checkpoint.ldm.recognise import architecture
from gridsearch.merge.adapters.kinds import (
    NUMBERS,
    DeltaKind,
    delta_shape,
    magnitude_axis,
    shapes_agree,
)
from gridsearch.merge.adapters.settings import Module


def require_adapter(checkpoint: Checkpoint, found: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse, in words, a checkpoint, and an adapter of a kind that is not known or not whole."""
    known = {*DELTA_PARTS.values(), *SHARED_PARTS.values()}
    kind = architecture(checkpoint)
    is_model = kind not in (*ADAPTERS, "no model that is known here")
    telling = known - {"factors"}  # (IA)^3's factors of LyCORIS are named as a weight is
    if is_model and not any(telling & parts.keys() for parts in found.values()):
        fix = "A checkpoint is merged as a model: name it under [models]."
        raise BadInput(f"This is {kind}, not an adapter.", where=checkpoint.path, fix=fix)
    for key in checkpoint.tensors:
        ending = without_adapter_name(key)
        if odd := next((what for what, ends in UNSUPPORTED.items() if ending.endswith(ends)), None):
            fix = "Bake it into a checkpoint with the program that trained it, and merge that."
            raise BadInput(f"This adapter is {odd}.", where=checkpoint.path, why=f"it has {key}", fix=fix)
    for module, parts in found.items():
        if strange := [key for part, key in parts.items() if part not in known]:
            what = f"The adapter has a part that is not known here: {strange[0]}."
            why = f"it belongs to {module}, and ignoring it would change the result"
            fix = "Use another kind of adapter, a LoRA for one, or bake it into a checkpoint and merge that."
            raise BadInput(what, where=checkpoint.path, why=why, fix=fix)
        if "vera_lambda_b" in parts and not {"vera_A", "vera_B"} <= parts.keys():
            what = "This adapter is VeRA, and its file lacks the two matrices that its modules share."
            why = "they are random numbers, which PEFT keeps in the file only with save_projection"
            fix = "Save it again with save_projection=True, or merge it into a checkpoint with PEFT."
            raise BadInput(what, where=checkpoint.path, why=why, fix=fix)


def require_float_parts(checkpoint: Checkpoint, keys: Mapping[str, str]) -> None:
    """Refuse integers, and tensors without elements."""
    for part, key in keys.items():
        info = checkpoint.tensors[key]
        if part not in NUMBERS and not info.merges:
            what = f"The adapter's {key} holds no numbers that can be added to weights."
            why = f"{info.dtype}, of shape {list(info.shape)}"
            fix = f"Save the adapter again in one of {', '.join(FLOATS)}."
            raise BadInput(what, where=checkpoint.path, why=why, fix=fix)


def require_fit(
    checkpoint: Checkpoint, kind: DeltaKind, module: Module, rows: TensorRows, family: Family
) -> int | None:
    """Refuse, before anything is allocated, a change of another shape than the parameter's.

    Returns:
        the axis of the weight that DoRA's magnitudes belong to; None where there are none.
    """
    wanted = rows.outward
    try:
        shape = delta_shape(kind, module, wanted)
        if shapes_agree(shape, wanted):
            return magnitude_axis(module.shapes, wanted)
        why = f"{list(shape)} in the adapter, {list(wanted)} in the checkpoint"
    except ValueError as error:
        parts = ", ".join(f"{part} {list(shape)}" for part, shape in module.shapes.items())
        why = f"{parts}: {error}"
    other = other_model_of(checkpoint.tensors, family)
    raise BadInput(
        f"The adapter's change of {module.name} does not fit the checkpoint"
        + (f": its keys are those of {other}." if other else "."),
        where=checkpoint.path,
        why=why,
        fix=f"Name an adapter that was trained on an {family.title} model of this size.",
    )
