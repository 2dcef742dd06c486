"""sd-mecha's names (https://github.com/ljleb/sd-mecha) of SDXL's layout, components, blocks and classes.

In recipes of before version 0.1.0 a name is a component's (`sdxl_unet_default`), a block's
(`sdxl_unet_block_in00`) or that of a class of layers (`l14_txt_class_q`), with the parts of keys that
sd-mecha's `hypers` of early 2024 had for each.
"""

import re
from collections.abc import Mapping
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import DEFAULT_SELECTOR, MIDDLE, TEXT_BLOCK, UNET, VAE, VAE_COMPONENT
from gridsearch.checkpoint.sdxl.family import BLOCKS, CLIP_G, CLIP_G_MODEL, CLIP_L, CLIP_L_MODEL, SDXL

# -- names of today: SDXL's layout, blocks and components

MODEL_CONFIG = "sdxl-sgm"
BLOCKS_CONFIG = "sdxl-supermerger_blocks"
BLOCKS_IN_WORDS = f"{BLOCKS_CONFIG}: BASE, IN00 to IN08, M00, OUT00 to OUT08 and VAE"
VAE_BLOCK = "VAE"
ALL_BLOCKS = (*BLOCKS, VAE_BLOCK)
TO_KEYS = "convert_sdxl_blocks_to_sgm"  # the method that turns ratios per block into ratios per key

# The components that a model may lend -> how their keys begin.
LENT_PREFIXES = {name: SDXL.parts[name] for name in (VAE_COMPONENT, "clip_l", "clip_g")}
TEXT_COMPONENTS = tuple(name for name in LENT_PREFIXES if name != VAE_COMPONENT)

# Block -> a key of each part of it that a selector of whole blocks can mean alone.
BLOCK_KEYS = {
    TEXT_BLOCK: (
        f"{UNET}time_embed.0.weight",
        f"{CLIP_L_MODEL}final_layer_norm.weight",
        f"{CLIP_G_MODEL}ln_final.weight",
    ),
    **{f"IN{i:02}": (f"{UNET}input_blocks.{i}.0.weight",) for i in range(9)},
    MIDDLE: (f"{UNET}middle_block.0.in_layers.0.weight",),
    **{f"OUT{i:02}": (f"{UNET}output_blocks.{i}.0.in_layers.0.weight",) for i in range(9)},
    VAE_BLOCK: (f"{VAE}decoder.conv_in.weight",),
}

# Selectors that mean all of a block's weights or none. Of the patterns, those for a component.
WHOLE_PARTS = (DEFAULT_SELECTOR, "unet", "te", "te1", "te2", "vae", "in", "mid", "out", "time")
_WHOLE_PATTERNS = tuple(f"{prefix}*" for prefix in ("", UNET, VAE, CLIP_L, CLIP_G))


def means_whole_blocks(selector: str) -> bool:
    """Return whether a selector means all of a block's weights or none, for every block."""
    return selector in _WHOLE_PATTERNS or all(
        part in WHOLE_PARTS or part.partition("-")[0] in BLOCKS for part in selector.split(".")
    )


# -- names of before version 0.1.0

_NAME = re.compile(r"(sdxl_unet|sdxl_txt2?|l14_txt|g14_txt|sdxl_vae)_(?:(block|class)_)?(\w+)")
# Component -> our selector of all of it, and how its keys begin.
_COMPONENTS = {
    "sdxl_unet": ("unet", UNET),
    "sdxl_txt": ("te1", CLIP_L),
    "l14_txt": ("te1", CLIP_L),
    "sdxl_txt2": ("te2", CLIP_G),
    "g14_txt": ("te2", CLIP_G),
}
_CLIP_L_NAMES = {"embed": "embeddings.", "final": "final_layer_norm."}
_CLIP_G_NAMES = {
    "pos_embed": "positional_embedding",
    "token_embed": "token_embedding.",
    "text_proj": "text_projection",
}
_CLASSES = {
    "token_embed": "embeddings.token_embedding.",
    "pos_embed": "embeddings.position_embedding.",
    "final_norm": "final_layer_norm.",
    "q": ".q_proj.", "k": ".k_proj.", "v": ".v_proj.", "out": ".out_proj.",
    "mlp_fc1": ".mlp.fc1.", "mlp_fc2": ".mlp.fc2.", "mlp_c_fc": ".mlp.c_fc.", "mlp_c_proj": ".mlp.c_proj.",
    "layer_norm1": ".layer_norm1.", "layer_norm2": ".layer_norm2.", "ln_1": ".ln_1.", "ln_2": ".ln_2.",
    "attn_in_proj": ".attn.in_proj_", "attn_out_proj": ".attn.out_proj.",
}  # fmt: skip
_UNET_CLASSES = {
    "in0": f"{UNET}input_blocks.0.0.", "out0": f"{UNET}out.0.", "out2": f"{UNET}out.2.",
    "trans_ff_net0_proj": ".ff.net.0.proj.", "trans_ff_net2": ".ff.net.2.", "emb_layers1": ".emb_layers.1.",
    "in_layers0": ".in_layers.0.", "in_layers2": ".in_layers.2.", "out_layers0": ".out_layers.0.",
    "out_layers3": ".out_layers.3.", "time_embed0": ".time_embed.0.", "time_embed2": ".time_embed.2.",
    **{f"trans_attn{i}_{part}": f".attn{i}.to_{part}." for i in (1, 2) for part in ("q", "k", "v", "out")},
    **{f"trans_norm{i}": f".norm{i}." for i in (1, 2, 3)},
    **{name: f".{name}." for name in ("op", "proj_in", "proj_out", "norm", "skip_connection", "conv")},
}  # fmt: skip


def has_old_names(table: Mapping[str, Any]) -> bool:
    """Return whether a table has ratios by names of that time."""
    return any(_NAME.fullmatch(name) for name in table)


def ratios(table: Mapping[str, Any]) -> dict[str, float]:
    """Return such a table by our selectors; the VAE, which was not merged then, is left out.

    A BadInput where a name or a number is none, or where a component has no ratio.
    """
    found: dict[str, dict[str, float]] = {}
    for name, value in table.items():
        match = _NAME.fullmatch(name)
        if not match:
            raise BadInput(f"{name!r:.60} is not a component, block or class of SDXL.")
        if type(value) not in (int, float):
            raise BadInput(f"The ratio of {name:.60} is not a number.")
        if match[1] != "sdxl_vae":
            place = "" if match[3] == "default" else f"{match[2]}_{match[3]}"
            found.setdefault(match[1], {})[place] = float(value)
    selectors: dict[str, float] = {}
    for component, own in found.items():
        selectors |= _selectors(component, own)
    if absent := {"unet", "te1", "te2"} - selectors.keys():
        what = f"The table has no ratio for {min(absent)}."
        raise BadInput(what, fix="Add its default, as in sdxl_unet_default=0.5.")
    return selectors


def _selectors(component: str, own: Mapping[str, float]) -> dict[str, float]:
    whole, prefix = _COMPONENTS[component]
    if len(values := set(own.values())) == 1:
        return {whole: values.pop()}
    if "" not in own:
        raise BadInput(f"The table has no {component}_default for the other keys.")
    if len({place.partition("_")[0] for place in own if place}) > 1:
        what = f"The table has ratios for blocks and for classes of {component}."
        raise BadInput(
            what, why="a weight that both select would get the mean of the two", fix="Leave one of them out."
        )
    places = {place: value for place, value in own.items() if place}
    return {whole: own[""]} | {_pattern(component, prefix, place): value for place, value in places.items()}


def _pattern(component: str, prefix: str, place: str) -> str:
    """Return a pattern of the keys of a block or of a class of layers."""
    kind, _, name = place.partition("_")
    is_unet = prefix == UNET
    if kind == "class":
        part = (_UNET_CLASSES if is_unet else _CLASSES).get(name)
        if part:
            return f"{part}*" if part.startswith(prefix) else f"{prefix}*{part}*"
    elif numbered := re.fullmatch(r"(in|mid|out)(\d{1,2})", name):
        number = int(numbered[2])
        middles = {"in": f"input_blocks.{number}.", "mid": "middle_block.", "out": f"output_blocks.{number}."}
        if is_unet:
            return f"{prefix}{middles[numbered[1]]}*"
        layers = (
            "transformer.text_model.encoder.layers" if prefix == CLIP_L else "model.transformer.resblocks"
        )
        return f"{prefix}{layers}.{number}.*"
    elif is_unet and name in ("out", "time_embed", "label_emb", "mid"):
        return f"{prefix}{'middle_block' if name == 'mid' else name}.*"
    elif not is_unet:
        names = _CLIP_L_NAMES if prefix == CLIP_L else _CLIP_G_NAMES
        inner = "transformer.text_model." if prefix == CLIP_L else "model."
        return f"{prefix}{inner}{names.get(name, f'{name}.')}*"
    raise BadInput(f"{component}_{place:.60} is not a block or class of SDXL.")
