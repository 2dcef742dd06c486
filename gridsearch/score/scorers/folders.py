"""A model in a local folder of transformers: checked, and loaded from safetensors only.

Nothing is downloaded, and no pickle is read, because a pickle is a program.
"""

import json
import re
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.utils import logging

from gridsearch.base.errors import BadInput

ONE_PLACE = "Get all files of the model from one place."
NAMES = {"clip": "CLIP model", "dinov2": "DINOv2 model"}  # by the model type that a config.json says

_Model = TypeVar("_Model", bound=PreTrainedModel)


def require_model(folder: Path, *kinds: str) -> str:
    """Refuse a folder without a model of one of these types; returns its type. Its weights are not read.

    Raises:
        BadInput: the folder or a file in it is missing, its weights are only a pickle, or it is another kind
            of model.
    """
    name = " or ".join(NAMES[kind] for kind in kinds)
    if not folder.is_dir():
        fix = "Name one with config.json and model.safetensors. Nothing is downloaded."
        raise BadInput(f"There is no such folder with a {name}.", where=folder, fix=fix)
    require_one_of(folder, kinds[0], "config.json")
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"  # or in parts
    if not (whole.is_file() or index.is_file()):
        pickles = sorted(file.name for file in folder.glob("*.bin"))
        why = f"{pickles[0]} is a pickle, which can run code, so it is not read." if pickles else None
        fix = "Get the model's .safetensors file."
        raise BadInput(f"The {name} has no model.safetensors.", where=folder, why=why, fix=fix)
    if whole.is_file():
        _require_whole(whole)
    if index.is_file():
        _require_safe_parts(index, name)
    kind = json_table(folder / "config.json").get("model_type")
    if kind not in kinds:
        known = " or ".join(map(repr, kinds))
        raise BadInput(f"This is a model of type {kind!r}, not {known}.", where=folder / "config.json")
    return str(kind)


def require_one_of(folder: Path, kind: str, *names: str) -> None:
    """Refuse a folder that has none of these files."""
    if not any((folder / name).is_file() for name in names):
        raise BadInput(f"The {NAMES[kind]} has no {names[0]}.", where=folder, fix=ONE_PLACE)


def load_model(of: type[_Model], folder: Path, kind: str) -> _Model:
    """Load a checked model in float32 on the CPU, ready to be asked.

    Raises:
        BadInput: it lacks weights.
    """
    logging.disable_progress_bar()  # it would overwrite the program's own
    try:
        model, loading = of.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.enable_progress_bar()
    if missing := sorted(loading["missing_keys"]):  # transformers would use random numbers instead
        why = f"It has no {missing[0]}" + (f" and lacks {len(missing) - 1} more." if missing[1:] else ".")
        raise BadInput(f"The weights are not those of a whole {NAMES[kind]}.", where=folder, why=why)
    return model.eval().requires_grad_(False)


def preprocessing(folder: Path) -> dict[str, Any]:
    """Return what the folder says of the pixels that its model takes; empty where it says nothing."""
    file = folder / "preprocessor_config.json"
    return json_table(file) if file.is_file() else {}


def _require_safe_parts(index: Path, name: str) -> None:
    """Refuse an index that names anything but safetensors files beside it: transformers opens them all."""
    parts = json_table(index).get("weight_map")
    names = set(map(str, parts.values())) if isinstance(parts, dict) else {"no files"}
    if odd := sorted(file for file in names if not re.fullmatch(r"[\w.-]+\.safetensors", file)):
        why = f"It names {odd[0]!r:.80}; only .safetensors files beside it are read."
        raise BadInput(f"The {name}'s weights are not safe to read.", where=index, why=why)


def _require_whole(weights: Path) -> None:
    """Refuse a file that is not safetensors, or shorter than its header says."""
    try:
        with safe_open(weights, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        what, why = "This is not a complete safetensors file.", str(error)
        fix = "Get a new copy; a clone without Git LFS leaves a text file in its place."
        raise BadInput(what, where=weights, why=why, fix=fix) from None


def json_table(file: Path) -> dict[str, Any]:
    """Return the table in a JSON file, or refuse it."""
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput("This file cannot be read.", where=file, why=str(error)) from None
    if not isinstance(said, dict):
        raise BadInput("This file has no table in it.", where=file)
    return said
