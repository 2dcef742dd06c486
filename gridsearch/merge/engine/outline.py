"""What a merged file holds: which keys, of what dtype and shape, and from whom."""

from collections.abc import Mapping
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import Checkpoint, TensorInfo, open_checkpoint
from gridsearch.checkpoint.sdxl.blocks import CLIP_G, CLIP_L, VAE, component_of
from gridsearch.checkpoint.sdxl.recognise import stray_keys
from gridsearch.experiment.recipe import Recipe

# No part of what draws, and missing in some files.
OPTIONAL = (f"{CLIP_G}model.logit_scale", f"{CLIP_L}transformer.text_model.embeddings.position_ids")


def outline(
    recipe: Recipe, checkpoints: Mapping[str, Checkpoint], vae: Checkpoint | None
) -> dict[str, TensorInfo]:
    """The merged file's keys, markers left out.

    Keys and dtypes are the first model's; of a component that another lends, that one's. Stray keys are left
    out.
    """
    first = checkpoints[recipe.merged_models()[0]]
    lenders = {
        "unet": first,
        "te1": (text := checkpoints.get(recipe.components.text_encoders, first)),
        "te2": text,
        "vae": vae or checkpoints.get(recipe.vae_source(), first),
    }
    return {
        key: info
        for component, lender in lenders.items()
        for key, info in own_keys(lender).items()
        if component_of(key) == component
    }


def own_keys(checkpoint: Checkpoint) -> dict[str, TensorInfo]:
    """The keys that belong to SDXL's components; what was left behind by training is not among them."""
    stray = set(stray_keys(checkpoint)) - set(OPTIONAL)
    return {key: info for key, info in checkpoint.tensors.items() if component_of(key) and key not in stray}


def merged_keys(infos: Mapping[str, TensorInfo]) -> list[str]:
    """The keys whose values are computed; integers, empty ones and what does not draw are copied."""
    return [key for key, info in infos.items() if info.merges and key not in OPTIONAL]


def require_floats(checkpoint: Checkpoint) -> None:
    """Refuse weights that are kept as integers: quantised ones mean nothing without their scales."""
    infos = own_keys(checkpoint)
    if odd := [key for key, info in infos.items() if info.bytes and not info.merges and key not in OPTIONAL]:
        raise BadInput(
            f"{len(odd):,} weights of this checkpoint are no floats, {odd[0]} first.",
            where=checkpoint.path,
            why=f"it is {infos[odd[0]].dtype}",
            fix="Use the fp16 or bf16 version of the model.",
        )


def open_vae(path: Path) -> tuple[Checkpoint, str]:
    """A VAE's own file, its keys as a whole checkpoint has them, and the prefix that its file leaves out.

    Raises:
        BadInput: it is no VAE in the original layout.
    """
    checkpoint = open_checkpoint(path)
    prefix = "" if any(key.startswith(VAE) for key in checkpoint.tensors) else VAE
    tensors = {prefix + key: info for key, info in checkpoint.tensors.items()}
    if f"{VAE}decoder.conv_in.weight" not in tensors or f"{VAE}decoder.mid.attn_1.q.weight" not in tensors:
        raise BadInput(
            "This is no VAE in the original layout.",
            where=path,
            fix="Use a single-file VAE such as sdxl_vae.safetensors, or name a model: components.vae.",
        )
    return Checkpoint(path, checkpoint.bytes, tensors, checkpoint.metadata), prefix
