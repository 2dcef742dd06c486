"""The scale of each change in an adapter's file: alpha over rank, and where alpha is written."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.adapter_names import longest_name

MOST_ALPHA = 1e30  # float32 has an end, and Python's whole numbers have none
METADATA_KEY = "lora_adapter_metadata"
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")


def peft_config(metadata: Mapping[str, str], path: Path) -> dict:
    """Return the PEFT options that diffusers wrote beside the weights (`unet.lora_alpha`), if any."""
    if METADATA_KEY not in metadata:
        return {}
    try:
        config = json.loads(metadata[METADATA_KEY])
        if not isinstance(config, dict):
            raise ValueError("it is no table")
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from None
    return config


def stated_alpha(module: str, config: Mapping, path: Path) -> float | None:
    """Return a module's alpha from its PEFT options; None where they do not set it.

    `alpha_pattern` goes before `lora_alpha`; an entry names a module or the end of its name.
    """
    component, name = module.partition(".")[0], longest_name(module)
    alpha = _option("lora_alpha", component, config)
    patterns = _option("alpha_pattern", component, config) or {}
    if not isinstance(patterns, dict):
        raise _unreadable(path, f"{component}.alpha_pattern is no table")
    for pattern, value in patterns.items():
        if not set(pattern) <= _NAME_LETTERS:
            raise _unreadable(path, f"the alpha_pattern {pattern!r:.80} is not the name of a module")
        if f".{name}".endswith(f".{pattern}"):
            alpha = value
            break
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, int | float)):
        raise _unreadable(path, f"the alpha of {module} is {alpha!r:.60}")
    if alpha is not None and not -MOST_ALPHA < alpha < MOST_ALPHA:
        raise _unreadable(path, f"the alpha of {module} is out of all bounds")
    return None if alpha is None else float(alpha)


def scale_of(module: str, rank: int, alpha: float | None, config: Mapping, path: Path) -> float:
    """Return the factor of a change of this rank at strength one; without any alpha that is one.

    Args:
        alpha: the module's own, from the weights; it goes before what the options say.
    """
    root = 1.0
    if alpha is None:
        alpha = stated_alpha(module, config, path)
        # rsLoRA: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732. LyCORIS folds it into its alpha.
        if _option("use_rslora", module.split(".", 1)[0], config) is True:
            root = math.sqrt(rank)
    if alpha is None:
        return 1.0
    if not math.isfinite(alpha) or alpha == 0:
        raise BadInput(
            f"The adapter's alpha is {alpha:g} for {module}.",
            where=path,
            why="Some programs take an alpha of zero as nothing, and some as the rank."
            if alpha == 0
            else None,
            fix="Save the adapter again with its alpha, or name another.",
        )
    return alpha / rank * root


def _option(name: str, component: str, config: Mapping) -> object:
    """Return an option of one component; a UNet saved by itself has it without a prefix."""
    return config.get(f"{component}.{name}", config.get(name) if component == "unet" else None)


def _unreadable(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The adapter's own options cannot be read ({METADATA_KEY} in its metadata).",
        where=path,
        why=why,
        fix="Save the adapter again, or name another.",
    )
