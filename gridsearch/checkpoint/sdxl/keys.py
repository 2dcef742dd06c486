"""The names of an SDXL checkpoint's keys, as the original code (Stability's `sgm`) has them, and blocks."""

import fnmatch
import functools
import re
from dataclasses import dataclass

from gridsearch.base.errors import nearest

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP_L = "conditioner.embedders.0."  # the first text encoder
CLIP_G = "conditioner.embedders.1."  # the second
CLIP_L_MODEL = f"{CLIP_L}transformer.text_model."  # where the weights of each lie
CLIP_G_MODEL = f"{CLIP_G}model."

# Component -> how its keys begin, in the order in which a merged file holds them.
COMPONENTS = {"unet": UNET, "te1": CLIP_L, "te2": CLIP_G, "vae": VAE}
FIRST_CONV = f"{UNET}input_blocks.0.0.weight"  # it reads a latent, and in some models more behind it
LATENT_CHANNELS = 4
BESIDE_VAE = (UNET, CLIP_L, CLIP_G)  # all of a model that is shared without a VAE

VAE_COMPONENT = "vae"

# The parts of a model, which may lie in files of their own -> how their keys begin in a whole one.
PARTS = {"unet": UNET, "clip_l": CLIP_L, "clip_g": CLIP_G, "vae": VAE}
PIPELINE_PARTS = {"unet": "unet", "vae": "vae", "text_encoder": "clip_l", "text_encoder_2": "clip_g"}

# Nothing is drawn with them, and they are missing in some files.
POSITION_IDS = f"{CLIP_L_MODEL}embeddings.position_ids"  # 0, 1, 2, ... whatever a file has made of them
UNDRAWN = (f"{CLIP_G_MODEL}logit_scale", POSITION_IDS)

# Empty or one-element keys that say how to sample: https://github.com/comfyanonymous/ComfyUI,
# comfy/supported_models.py. The second four are EDM's: Playground v2.5 and CosXL.
V_PREDICTION_MARKER, ZERO_SNR_MARKER = MARKERS = ("v_pred", "ztsnr")
EDM_MARKERS = ("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")

MODELSPEC_ARCHITECTURE = "stable-diffusion-xl-v1-base"  # https://github.com/Stability-AI/ModelSpec


@dataclass(frozen=True)
class TensorRows:
    """The rows of a checkpoint's tensor in which a parameter is kept.

    `shape` is the shape of those rows and `file_shape` that of the whole tensor; `transposed` says that the
    parameter is the transpose of them.
    """

    key: str
    rows: slice
    shape: tuple[int, ...]
    file_shape: tuple[int, ...]
    transposed: bool = False

    @property
    def outward(self) -> tuple[int, ...]:
        """Return the shape of the parameter itself."""
        return self.shape[::-1] if self.transposed else self.shape


def component_of(key: str) -> str | None:
    """Return `unet`, `te1`, `te2` or `vae`; None for keys that are no part of SDXL."""
    return next((name for name, prefix in COMPONENTS.items() if key.startswith(prefix)), None)


def is_text(key: str) -> bool:
    """Return whether a key belongs to a text encoder."""
    return key.startswith((CLIP_L, CLIP_G))


def is_vae(key: str) -> bool:
    """Return whether a key belongs to the VAE."""
    return key.startswith(VAE)


def is_embedding(key: str) -> bool:
    """Return whether a key holds the vectors of a text encoder's tokens or positions."""
    return is_text(key) and re.search(r"\bembeddings\.|\b(token|positional)_embedding\b", key) is not None


# -- blocks, for ratios per block

# Those of supermerger's twenty sliders. Tools disagree on what lies outside the numbered ones. Here, as in
# sd-mecha's `sdxl-supermerger_blocks`, the text encoders and the UNet's time and size embeddings are `BASE`
# (supermerger itself counts the embeddings to `IN00`: write `time` to name them) and the UNet's last layers
# are `OUT08`.
MIDDLE = "M00"  # the block whose attention guidance changes in the papers
BLOCKS = ("BASE", *(f"IN{i:02}" for i in range(9)), "M00", *(f"OUT{i:02}" for i in range(9)))
DEFAULT_SELECTOR = "default"

# A name that stands for more than one block, or for a part of each, and the keys it means.
PART_PATTERNS = {
    DEFAULT_SELECTOR: "",
    "unet": rf"^{re.escape(UNET)}",
    "te": r"^conditioner\.",
    "te1": rf"^{re.escape(CLIP_L)}",
    "te2": rf"^{re.escape(CLIP_G)}",
    "vae": rf"^{re.escape(VAE)}",
    "in": r"\.input_blocks\.",
    "mid": r"\.middle_block\.",
    "out": rf"\.output_blocks\.|^{re.escape(UNET)}out\.",
    "time": rf"^{re.escape(UNET)}(time_embed|label_emb)\.",
    "attention": r"\.attn[12]\.|\.self_attn\.|\.attn\.",
    "self_attention": r"\.attn1\.|\.self_attn\.|\.attn\.",
    "cross_attention": r"\.attn2\.",
    "feed_forward": r"\.ff\.|\.mlp\.",
    "resnet": r"\.(in_layers|emb_layers|out_layers|skip_connection)\.",
}
SELECTORS = (*PART_PATTERNS, *BLOCKS)


def block_of(key: str) -> str | None:
    """Return the block that a file key belongs to; None for the VAE and for keys that are no part of SDXL."""
    if key.startswith((CLIP_L, CLIP_G)):
        return "BASE"
    if not key.startswith(UNET):
        return None
    if match := re.match(r"(input|output)_blocks\.(\d+)\.", key[len(UNET) :]):
        side, number = match.groups()
        return f"{'IN' if side == 'input' else 'OUT'}{int(number):02}"
    part = key[len(UNET) :].split(".", 1)[0]
    return {"middle_block": "M00", "out": "OUT08"}.get(part, "BASE")


UNET_PARTS = ("time", *BLOCKS[1:])
PARTS_IN_ORDER = ("te1", "te2", VAE_COMPONENT, *UNET_PARTS)


def selector_of(key: str) -> str:
    """Return the selector of the part that a key belongs to: te1, te2, vae, time, or a block of the UNet.

    Of a key that is no part of SDXL, its first name.
    """
    if (component := component_of(key)) != "unet":
        return component or key.split(".", 1)[0]
    block = block_of(key)
    return "time" if block in (None, BASE_BLOCK) else block


# The blocks that have attention, which guidance may change.
ATTENTION_BLOCKS = ("IN04", "IN05", "IN07", "IN08", "M00", *(f"OUT{i:02}" for i in range(6)))
_LAYERS = re.compile(rf"(?:{'|'.join(ATTENTION_BLOCKS)})(?:\.\d)?")


def known_layers(layers: str) -> str:
    """Return layers of attention as they are given, in blocks or one by one: `IN08, M00.0`.

    Raises:
        ValueError: SDXL has no such layer.
    """
    parts = layers.replace(",", " ").split()
    if unknown := [part for part in parts if not _LAYERS.fullmatch(part)] or (not parts and [layers]):
        blocks = ", ".join(ATTENTION_BLOCKS)
        raise ValueError(
            f"{unknown[0]!r:.60} is no layer of attention: the blocks are {blocks}, a layer M00.0"
        )
    return layers


@functools.cache
def selects(selector: str, key: str) -> bool:
    """Return whether a selector means a file key.

    `IN04`, `IN03-IN05` (a run of blocks), `out`, `attention`, `IN04.attention` (both hold), or a pattern
    with `*` that the whole key matches.
    """
    if "*" in selector:
        return fnmatch.fnmatchcase(key, selector)
    return all(_selects_one(part, key) for part in selector.split("."))


def _selects_one(part: str, key: str) -> bool:
    if part in PART_PATTERNS:
        return re.search(PART_PATTERNS[part], key) is not None
    first, _, last = part.partition("-")
    block = block_of(key)
    if block not in BLOCKS:
        return False
    return BLOCKS.index(first) <= BLOCKS.index(block) <= BLOCKS.index(last or first)


def means_vae_alone(selector: str) -> bool:
    """Return whether a selector means weights of the VAE and no others."""
    return selector.startswith(VAE) or VAE_COMPONENT in selector.split(".")


def checked_selector(selector: str) -> str:
    """Return the selector as it is; a ValueError where a part of it is no known name."""
    if "*" in selector:
        return selector
    for part in selector.split("."):
        if part in PART_PATTERNS:
            continue
        ends = part.split("-")
        if unknown := [end for end in ends if end not in BLOCKS]:
            name = nearest(unknown[0], SELECTORS)
            raise ValueError(f"{part!r} names no part of SDXL; the nearest name is {name!r}")
        if len(ends) > 2 or BLOCKS.index(ends[0]) > BLOCKS.index(ends[-1]):
            raise ValueError(f"{part!r} is no run of blocks: write IN03-IN05")
    return selector


# -- sd-mecha's names (https://github.com/ljleb/sd-mecha) of SDXL's layout, blocks and components

MODEL_CONFIG = "sdxl-sgm"
BLOCKS_CONFIG = "sdxl-supermerger_blocks"
BLOCKS_IN_WORDS = f"{BLOCKS_CONFIG}: BASE, IN00 to IN08, M00, OUT00 to OUT08 and VAE"
BASE_BLOCK, VAE_BLOCK = "BASE", "VAE"  # the latter is a pattern of our selectors
ALL_BLOCKS = (*BLOCKS, VAE_BLOCK)
TO_KEYS = "convert_sdxl_blocks_to_sgm"  # the method that turns ratios per block into ratios per key

# The components that a model may lend -> how their keys begin.
LENT_PREFIXES = {name: PARTS[name] for name in (VAE_COMPONENT, "clip_l", "clip_g")}
TEXT_COMPONENTS = tuple(name for name in LENT_PREFIXES if name != VAE_COMPONENT)

# Block -> a key of each part of it that a selector of whole blocks can mean alone.
BLOCK_KEYS = {
    BASE_BLOCK: (
        f"{UNET}time_embed.0.weight",
        f"{CLIP_L_MODEL}final_layer_norm.weight",
        f"{CLIP_G_MODEL}ln_final.weight",
    ),
    **{f"IN{i:02}": (f"{UNET}input_blocks.{i}.0.weight",) for i in range(9)},
    "M00": (f"{UNET}middle_block.0.in_layers.0.weight",),
    **{f"OUT{i:02}": (f"{UNET}output_blocks.{i}.0.in_layers.0.weight",) for i in range(9)},
    VAE_BLOCK: (f"{VAE}decoder.conv_in.weight",),
}

# Selectors that mean all of a block's weights or none. Of the patterns, those for a component.
WHOLE_PARTS = (DEFAULT_SELECTOR, "unet", "te", "te1", "te2", "vae", "in", "mid", "out", "time")
_WHOLE_PATTERNS = tuple(f"{prefix}*" for prefix in ("", UNET, VAE, CLIP_L, CLIP_G))


def means_whole_blocks(selector: str) -> bool:
    """Return whether a selector means all of a block's weights or none, for every block."""
    return selector in _WHOLE_PATTERNS or all(
        part in WHOLE_PARTS or ("*" not in part and part not in PART_PATTERNS) for part in selector.split(".")
    )
