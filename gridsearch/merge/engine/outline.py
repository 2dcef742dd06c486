"""The outline of a merged file: its keys with dtype and shape, and the source of each component."""

from collections.abc import Mapping

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import Checkpoint, TensorInfo
from gridsearch.checkpoint.sdxl.keys import COMPONENTS, UNDRAWN, component_of, is_text, is_vae
from gridsearch.checkpoint.sdxl.recognise import stray_keys
from gridsearch.experiment.recipe import Recipe


def outline(
    recipe: Recipe, checkpoints: Mapping[str, Checkpoint], vae: Checkpoint | None
) -> dict[str, TensorInfo]:
    """Return the merged file's keys without markers.

    Keys and dtypes are the first model's; of a component that another lends, that one's. Stray keys are left
    out.
    """
    first = checkpoints[recipe.merged_models()[0]]
    text = checkpoints.get(recipe.components.text_encoders, first)
    vae = vae or checkpoints.get(recipe.vae_source(), first)
    return {
        key: info
        for component, prefix in COMPONENTS.items()
        for key, info in own_keys(vae if is_vae(prefix) else text if is_text(prefix) else first).items()
        if component_of(key) == component
    }


def own_keys(checkpoint: Checkpoint) -> dict[str, TensorInfo]:
    """Return the keys that belong to SDXL's components, without leftovers of training."""
    stray = set(stray_keys(checkpoint)) - set(UNDRAWN)
    return {key: info for key, info in checkpoint.tensors.items() if component_of(key) and key not in stray}


def merged_keys(infos: Mapping[str, TensorInfo]) -> list[str]:
    """Return the keys whose values are computed; integers, empty tensors and unused keys are copied."""
    return [key for key, info in infos.items() if info.merges and key not in UNDRAWN]


def require_float_weights(checkpoint: Checkpoint) -> None:
    """Refuse weights that are kept as integers: quantised ones mean nothing without their scales."""
    infos = own_keys(checkpoint)
    if odd := [key for key, info in infos.items() if info.bytes and not info.merges and key not in UNDRAWN]:
        raise BadInput(
            f"{len(odd):,} weights of this checkpoint are not floating-point, starting with {odd[0]}.",
            where=checkpoint.path,
            why=f"it is {infos[odd[0]].dtype}",
            fix="Use the fp16 or bf16 version of the model.",
        )
