"""The names of a checkpoint's keys, as the original code has them, and ratios per block and part."""

import fnmatch
import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridsearch.base.errors import nearest
from gridsearch.checkpoint.families import TEXT_ENCODERS
from gridsearch.checkpoint.family import (
    DEFAULT_SELECTOR,
    MIDDLE,
    TEXT_BLOCK,
    UNET,
    VAE,
    VAE_COMPONENT,
    Family,
)

TEXT = tuple(encoder.prefix for encoder in TEXT_ENCODERS)

# Nothing is drawn with them, and they are missing in some files.
UNDRAWN = frozenset(key for encoder in TEXT_ENCODERS for key in encoder.undrawn)

# Empty or one-element keys that say how to sample: https://github.com/comfyanonymous/ComfyUI,
# comfy/supported_models.py. The second four are EDM's: Playground v2.5 and CosXL.
V_PREDICTION_MARKER, ZERO_SNR_MARKER = MARKERS = ("v_pred", "ztsnr")
EDM_MARKERS = ("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")


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


def component_of(key: str, family: Family) -> str | None:
    """Return the component of a key by its selector, as in `Family.components`; None where it is of none."""
    return next((name for name, prefix in family.components.items() if key.startswith(prefix)), None)


def is_text(key: str) -> bool:
    """Return whether a key belongs to a text encoder."""
    return key.startswith(TEXT)


def is_vae(key: str) -> bool:
    """Return whether a key belongs to the VAE."""
    return key.startswith(VAE)


def is_embedding(key: str) -> bool:
    """Return whether a key holds the vectors of a text encoder's tokens or positions."""
    return is_text(key) and re.search(r"\bembeddings\.|\b(token|positional)_embedding\b", key) is not None


def is_position_ids(key: str) -> bool:
    """Return whether a key holds 0, 1, 2, ... whatever a file has made of them."""
    return key in UNDRAWN and key.endswith(".position_ids")


# -- blocks, for ratios per block

# A name that stands for more than one block, or for a part of each, and the keys it means.
_PATTERNS = {
    DEFAULT_SELECTOR: "",
    "unet": rf"^{re.escape(UNET)}",
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


@functools.cache
def part_patterns(family: Family) -> dict[str, str]:
    """Return the names that stand for more than one block, or for a part of each -> the keys they mean."""
    own = {one.selector: rf"^{re.escape(one.prefix)}" for one in family.text_encoders}
    first, second, *others = _PATTERNS.items()
    return dict([first, second]) | {"te": "|".join(own.values())} | own | dict(others)


def selectors(family: Family) -> tuple[str, ...]:
    """Return all names of parts and blocks."""
    return (*part_patterns(family), *family.blocks)


def block_of(key: str, family: Family) -> str | None:
    """Return the block that a file key belongs to; None for the VAE and for keys of other models."""
    if key.startswith(tuple(one.prefix for one in family.text_encoders)):
        return TEXT_BLOCK
    if not key.startswith(UNET):
        return None
    last = {"out": family.blocks[-1]}
    return numbered_block(key) or last.get(key[len(UNET) :].split(".", 1)[0], TEXT_BLOCK)


def numbered_block(key: str) -> str | None:
    """Return the block of the UNet that a file key lies in: `IN04`, `M00`; None for what is around them."""
    if match := re.match(r"(input|output)_blocks\.(\d+)\.", key.removeprefix(UNET)):
        side, number = match.groups()
        return f"{'IN' if side == 'input' else 'OUT'}{int(number):02}"
    return MIDDLE if key.startswith(f"{UNET}middle_block.") else None


def unet_parts(family: Family) -> tuple[str, ...]:
    """Return the selectors of the UNet's parts."""
    return ("time", *family.blocks[1:])


def parts_in_order(family: Family) -> tuple[str, ...]:
    """Return the selectors of the parts of a model, each of whose keys is of one of them."""
    return (*(one.selector for one in family.text_encoders), VAE_COMPONENT, *unet_parts(family))


def selector_of(key: str, family: Family) -> str:
    """Return the selector of the part that a key belongs to, one of `parts_in_order`.

    Of a key that is no part of the family's models, its first name.
    """
    if (component := component_of(key, family)) != "unet":
        return component or key.split(".", 1)[0]
    block = block_of(key, family)
    return "time" if block in (None, TEXT_BLOCK) else block


def known_layers(layers: str, family: Family) -> str:
    """Return layers of attention as they are given, in blocks or one by one: `IN08, M00.0`.

    Raises:
        ValueError: the family has no such layer.
    """
    parts = layers.replace(",", " ").split()
    known = re.compile(rf"(?:{'|'.join(family.attention_blocks)})(?:\.\d)?")
    if unknown := [part for part in parts if not known.fullmatch(part)] or (not parts and [layers]):
        blocks = ", ".join(family.attention_blocks)
        raise ValueError(
            f"{unknown[0]!r:.60} is not a layer of attention: the blocks are {blocks}, a layer M00.0"
        )
    return layers


@functools.cache
def selects(selector: str, key: str, family: Family) -> bool:
    """Return whether a selector means a file key.

    `IN04`, `IN03-IN05` (a run of blocks), `out`, `attention`, `IN04.attention` (both hold), or a pattern
    with `*` that the whole key matches.
    """
    if "*" in selector:
        return fnmatch.fnmatchcase(key, selector)
    return all(_selects_one(part, key, family) for part in selector.split("."))


def _selects_one(part: str, key: str, family: Family) -> bool:
    if (pattern := part_patterns(family).get(part)) is not None:
        return re.search(pattern, key) is not None
    first, _, last = part.partition("-")
    block, blocks = block_of(key, family), family.blocks
    if block not in blocks:
        return False
    return blocks.index(first) <= blocks.index(block) <= blocks.index(last or first)


def means_vae_alone(selector: str) -> bool:
    """Return whether a selector means weights of the VAE and no others."""
    return selector.startswith(VAE) or VAE_COMPONENT in selector.split(".")


def _runs_text(blocks: Sequence[str]) -> str:
    """Return `BASE, IN00 to IN08, M00, OUT00 to OUT08`."""
    runs = [list(run) for _, run in itertools.groupby(blocks, lambda block: block.rstrip("0123456789"))]
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def checked_selector(selector: str, family: Family) -> str:
    """Return the selector as it is; a ValueError where a part of it is no known name."""
    if "*" in selector:
        return selector
    blocks = family.blocks
    for part in selector.split("."):
        if part in part_patterns(family):
            continue
        ends = part.split("-")
        if unknown := [end for end in ends if end not in blocks]:
            name = nearest(unknown[0], selectors(family))
            there = f"its blocks are {_runs_text(blocks)}"
            raise ValueError(f"{part!r} names no part of {family.title}; the nearest is {name!r}, {there}")
        if len(ends) > 2 or blocks.index(ends[0]) > blocks.index(ends[-1]):
            raise ValueError(f"{part!r} is not a range of blocks: write IN03-IN05")
    return selector
