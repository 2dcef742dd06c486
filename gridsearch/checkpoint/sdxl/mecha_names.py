"""sd-mecha's names (https://github.com/ljleb/sd-mecha) of SDXL's layout, blocks and components."""

from gridsearch.checkpoint.sdxl.blocks import BLOCKS, DEFAULT_SELECTOR, PART_PATTERNS
from gridsearch.checkpoint.sdxl.keys import CLIP_G, CLIP_G_MODEL, CLIP_L, CLIP_L_MODEL, UNET, VAE

MODEL_CONFIG = "sdxl-sgm"
BLOCKS_CONFIG = "sdxl-supermerger_blocks"
BLOCKS_IN_WORDS = f"{BLOCKS_CONFIG}: BASE, IN00 to IN08, M00, OUT00 to OUT08 and VAE"
BASE_BLOCK, VAE_BLOCK = "BASE", "VAE"  # the latter is a pattern here
ALL_BLOCKS = (*BLOCKS, VAE_BLOCK)
TO_KEYS = "convert_sdxl_blocks_to_sgm"  # the method that turns ratios per block into ratios per key

# The components that a model may lend -> how their keys begin.
VAE_COMPONENT = "vae"
LENT_PREFIXES = {VAE_COMPONENT: VAE, "clip_l": CLIP_L, "clip_g": CLIP_G}
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


def selector_of(block: str) -> str:
    """Return the selector that means a block of sd-mecha's."""
    return f"{VAE}*" if block == VAE_BLOCK else block
