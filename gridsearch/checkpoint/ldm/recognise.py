"""The model that a checkpoint is, by its key names, and whether it can be merged with others."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import KNOWN_FAMILIES, TITLES, family_of_keys
from gridsearch.checkpoint.family import FIRST_CONV, LATENT_CHANNELS, UNET, VAE, Family
from gridsearch.checkpoint.header import PLAIN_VERSION, UNMERGED, Checkpoint, TensorInfo
from gridsearch.checkpoint.ldm.adapter_files import ADAPTERS, adapter_kind
from gridsearch.checkpoint.ldm.keys import (
    EDM_MARKERS,
    MARKERS,
    UNDRAWN,
    is_position_ids,
    is_vae,
)
from gridsearch.checkpoint.sdxl.family import CLIP_L, SDXL

# Inside a component, and still no weights: training losses, running averages.
BUFFERS = (f"{VAE}loss.", f"{VAE}model_ema.")

# Keys of the factors of quantised weights (ComfyUI's scaled fp8 in both its spellings, bitsandbytes).
SCALES = (
    "scaled_fp8", ".scale_weight", ".scale_input", ".weight_scale", ".input_scale", ".comfy_quant", ".absmax",
)  # fmt: skip

_HALF = "an SDXL model with one text encoder only"
_REFINERS_TEXT = CLIP_L + "model.token_embedding.weight"

# The models that can be merged, in words.
MERGEABLE = tuple(kind for family in KNOWN_FAMILIES.values() for kind in family.kinds.values())

# Name -> how keys begin, any of which identifies the file; the first name that fits is taken.
_OTHERS = {
    "an incomplete Stable Diffusion 1.5 model": ("cond_stage_model.transformer.",),
    "Stable Diffusion 2": ("cond_stage_model.model.",),
    "Stable Diffusion 3": ("joint_blocks.", UNET + "joint_blocks."),
    "a Flux model": ("double_blocks.", UNET + "double_blocks."),
    "a ControlNet": ("control_model.", "controlnet_down_blocks."),
    "a diffusers-format UNet": ("down_blocks.", "unet.down_blocks."),
    "a UNet without text encoders": (UNET + "time_embed.", "diffusion_model.time_embed.", "time_embed."),
    "a VAE": ("decoder.conv_in.", f"{VAE}decoder."),
    "a text encoder": ("text_model.encoder.", "encoder.layers.", "transformer.resblocks."),
}
_PARTS = ("a diffusers-format UNet", "a UNet without text encoders", "a VAE", "a text encoder", _HALF)


def input_channels(checkpoint: Checkpoint) -> int:
    """Return how many channels a model's UNet reads: 4, or more in variants for other tasks."""
    info = checkpoint.tensors.get(FIRST_CONV)
    return info.shape[1] if info and len(info.shape) == 4 else LATENT_CHANNELS


def reading_latents(checkpoint: Checkpoint) -> Checkpoint:
    """Return a model as if its UNet read a latent only, to be compared with one whose UNet does."""
    info = checkpoint.tensors.get(FIRST_CONV)
    if not info or input_channels(checkpoint) <= LATENT_CHANNELS:
        return checkpoint
    narrow = replace(info, shape=(info.shape[0], LATENT_CHANNELS, *info.shape[2:]))
    return replace(checkpoint, tensors={**checkpoint.tensors, FIRST_CONV: narrow})


def architecture(checkpoint: Checkpoint) -> str:
    """Return what the file is, in words: one of `MERGEABLE` for what this program can merge."""
    keys = checkpoint.tensors
    for family in KNOWN_FAMILIES.values():
        tokens = [one.tokens for one in family.text_encoders]
        if family.proof in keys and all(key in keys for key in tokens):
            if other := family.others.get(keys[tokens[0]].shape[-1]):
                return other
            channels = input_channels(checkpoint)
            return family.kinds.get(
                channels, f"an {family.title} variant whose UNet reads {channels} channels"
            )
    if SDXL.proof in keys and _REFINERS_TEXT in keys:
        return "an SDXL refiner"
    if SDXL.proof in keys and any(one.tokens in keys for one in SDXL.text_encoders):
        return _HALF
    if kind := adapter_kind(keys):
        return kind
    for name, prefixes in _OTHERS.items():
        if any(key.startswith(prefixes) for key in keys):
            return name
    return "no model that is known here"


def family_of(checkpoint: Checkpoint) -> Family:
    """Return the family of a checkpoint, or of what it may be a part of."""
    return family_of_keys(checkpoint.tensors)


def require_known(checkpoint: Checkpoint) -> None:
    """Refuse, in words, all but models of the known families that predict epsilon or v."""
    kind = architecture(checkpoint)
    if kind in ADAPTERS:
        what = f"This is {kind}: it modifies a model but is not one."
        raise BadInput(what, where=checkpoint.path, fix=f"Under [models] name whole {TITLES} checkpoints.")
    if kind not in MERGEABLE:
        family = family_of(checkpoint)
        fix = f"Use {family.title} checkpoints with UNet, VAE and {family.encoders}."
        if kind in _PARTS:
            files = ", ".join(f'{part} = "..."' for part in family.parts)
            fix = f"Name the files of all parts of the model: {{ {files} }}."
        raise BadInput(f"This is {kind}, not an {TITLES} checkpoint.", where=checkpoint.path, fix=fix)
    if found := [marker for marker in EDM_MARKERS if marker in checkpoint.tensors]:
        what = "This is an EDM model: it neither predicts epsilon nor v, and cannot be merged with those."
        raise BadInput(what, where=checkpoint.path, why=f"it carries the marker key {found[0]}.")


def stray_keys(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the keys that are no weight of any component: leftovers of training and of other programs.

    Nothing is drawn with them, so it does not matter where they are missing or differ. Markers are not
    among them: they say something.
    """
    weights = family_of(checkpoint).weights
    return tuple(
        key
        for key in checkpoint.tensors
        if key not in MARKERS + EDM_MARKERS
        and (not key.startswith(weights) or key.startswith(BUFFERS) or is_position_ids(key))
    )


def own_keys(checkpoint: Checkpoint) -> dict[str, TensorInfo]:
    """Return the keys that belong to a model's components, without leftovers of training."""
    stray = set(stray_keys(checkpoint)) - UNDRAWN
    components = tuple(family_of(checkpoint).components.values())
    found = checkpoint.tensors.items()
    return {key: info for key, info in found if key.startswith(components) and key not in stray}


def has_vae(checkpoint: Checkpoint) -> bool:
    """Return whether a file holds any weight of a VAE; it may be incomplete."""
    return any(is_vae(key) for key in own_keys(checkpoint))


def merged_keys(infos: Mapping[str, TensorInfo]) -> list[str]:
    """Return the keys whose values are computed; integers, empty tensors and unused keys are copied."""
    return [key for key, info in infos.items() if info.merges and key not in UNDRAWN]


def require_float_weights(checkpoint: Checkpoint) -> None:
    """Refuse weights that are kept as integers, or in formats that mean nothing without their scales."""
    if found := [key for key in checkpoint.tensors if key.endswith(SCALES)]:
        what = "The weights of this checkpoint are quantised; they mean nothing without their scales."
        why = f"{len(found):,} keys hold scales, {found[0]} first."
        raise BadInput(what, where=checkpoint.path, why=why, fix=PLAIN_VERSION)
    kinds = {key: info.dtype for key, info in checkpoint.tensors.items() if info.dtype in UNMERGED}
    if not kinds:
        infos = own_keys(checkpoint).items()
        kinds = {k: i.dtype for k, i in infos if i.bytes and not i.merges and k not in UNDRAWN}
    if kinds:
        first, dtype = next(iter(kinds.items()))
        count = list(kinds.values()).count(dtype)
        kind = UNMERGED[dtype][1] if dtype in UNMERGED else "whole numbers"
        what = f"{count:,} weights of this checkpoint are {dtype}, {kind}, which cannot be merged."
        raise BadInput(what, where=checkpoint.path, why=f"{first} first", fix=PLAIN_VERSION)


def require_same_shapes(checkpoints: Mapping[str, Checkpoint], keys: Collection[str]) -> None:
    """Require every one of these keys in every file, with the same shape; the first that differs is named."""
    (first_name, first), *_ = checkpoints.items()
    for name, other in checkpoints.items():
        if missing := [key for key in keys if key not in other.tensors]:
            what = f"{name} lacks {len(missing):,} of {len(keys):,} weights, {missing[0]} first."
            family = family_of(first)
            fix = f"Use complete {family.title} checkpoints with UNet, VAE and {family.encoders}."
            raise BadInput(what, where=other.path, fix=fix)
        if differ := [key for key in keys if other.tensors[key].shape != first.tensors[key].shape]:
            key, unlike = differ[0], f"{len(differ):,} weights of different shapes"
            here, there = (list(one.tensors[key].shape) for one in (other, first))
            what = f"{name} and {first_name} have {unlike}, {key} first."
            raise BadInput(what, where=other.file_of(key), why=f"{here} here, {there} in {first.path.name}.")
