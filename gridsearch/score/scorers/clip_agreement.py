"""A scorer of how well an image agrees with its prompt, by a CLIP model in a local folder.

Radford et al. 2021, *Learning Transferable Visual Models From Natural Language Supervision*; as a score of
images, without scale and offset, Hessel et al. 2021, *CLIPScore*. The folder is one of transformers, with
`config.json`, `model.safetensors` and the tokenizer. Nothing is downloaded, and weights are only read from
safetensors, because a pickle is a program.
"""

import json
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from transformers import CLIPModel, CLIPTokenizer
from transformers.utils import logging

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.plugins import ScoredCase

ONE_PLACE = "Get all files of the model from one place."
DEVICES = ("auto", "cpu", "cuda")
Channels = tuple[float, ...]  # a value of each
# As OpenAI's models were trained; a folder's preprocessor_config.json may say otherwise.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_agreement(rgb: np.ndarray, case: ScoredCase, *, folder: str, device: str = "auto") -> float:
    """Return the cosine of the angle between the embeddings of an image and its prompt, -1 to 1.

    The prompt, the case's text, is used as written, with its brackets and weights, and cut at the model's
    length, 77 tokens for OpenAI's. `folder` is the model's; the device "auto" is CUDA if there is a GPU.

    Raises:
        BadInput: see `check`.
    """
    model, tokenizer, mean, std = load_clip(folder, device)
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer(case.text, truncation=True, max_length=length, return_tensors="pt").to(model.device)
    pixels = preprocessed(rgb, model.config.vision_config.image_size, mean, std).to(model.device)
    with torch.inference_mode():
        found = model(**tokens, pixel_values=pixels[None])
    return float(torch.cosine_similarity(found.text_embeds, found.image_embeds)[0])


def preprocessed(rgb: np.ndarray, side: int, mean: Channels, std: Channels) -> torch.Tensor:
    """Return the middle square of a picture, scaled and normalised as transformers' CLIPImageProcessor does.

    Args:
        rgb: uint8 (H, W, 3).
        mean, std: of each channel, 0..1.
    Returns:
        float32 (3, side, side).
    """
    height, width = rgb.shape[:2]
    short = min(height, width)
    size = side * width // short, side * height // short
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    scaled = Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)
    square = scaled.crop((left, top, left + side, top + side))
    colours, middle, spread = (np.asarray(values, np.float32) for values in (square, mean, std))
    return torch.from_numpy((colours / 255 - middle) / spread).permute(2, 0, 1)


@lru_cache(maxsize=2)  # one per process; a second one is for comparing two models
def load_clip(folder: str, device: str) -> tuple[CLIPModel, CLIPTokenizer, Channels, Channels]:
    """Load the model in float32, its tokenizer, and the mean and deviation of its pixels' channels.

    Raises:
        BadInput: see `check`.
    """
    check(folder, device)
    logging.disable_progress_bar()  # it would overwrite the program's own
    try:
        model, loading = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.enable_progress_bar()
    if missing := sorted(loading["missing_keys"]):  # transformers would use random numbers instead
        why = f"It has no {missing[0]}" + (f" and lacks {len(missing) - 1} more." if missing[1:] else ".")
        raise BadInput("The weights are not those of a whole CLIP model.", where=folder, why=why)
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    known = model.config.text_config.vocab_size
    if not 2 < len(tokenizer) <= known:
        what = f"The tokenizer has {len(tokenizer)} tokens, but the model has {known}."
        raise BadInput(what, where=folder, fix=ONE_PLACE)
    own = Path(folder, "preprocessor_config.json")
    said = _read_json(own) if own.is_file() else {}
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return model.eval().to(place), tokenizer, said.get("image_mean", MEAN), said.get("image_std", STD)


def check(folder: str, device: str = "auto") -> None:
    """Refuse a folder without a CLIP model that can be loaded here; its weights are not read.

    Raises:
        BadInput: the folder or a file in it is missing, its weights are only a pickle, it is another kind of
            model, or there is no such device.
    """
    place = Path(folder)
    if device not in DEVICES:
        fix = f"Use one of {', '.join(DEVICES)}."
        raise BadInput(f"There is no device {device!r}.", where="device", fix=fix)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("There is no CUDA device here.", where="device", fix='Set device = "cpu".')
    if not place.is_dir():
        fix = "Name one with config.json, model.safetensors and tokenizer.json. Nothing is downloaded."
        raise BadInput("There is no such folder with a CLIP model.", where=place, fix=fix)
    _require_one_of(place, "config.json")
    whole, index = place / "model.safetensors", place / "model.safetensors.index.json"  # or in parts
    if not (whole.is_file() or index.is_file()):
        pickles = sorted(file.name for file in place.glob("*.bin"))
        why = f"{pickles[0]} is a pickle, which can run code, so it is not read." if pickles else None
        fix = "Get the model's .safetensors file."
        raise BadInput("The CLIP model has no model.safetensors.", where=place, why=why, fix=fix)
    if whole.is_file():
        _require_whole(whole)
    if index.is_file():
        _require_safe_parts(index)
    _require_one_of(place, "tokenizer.json", "vocab.json")
    if not (place / "tokenizer.json").is_file():
        _require_one_of(place, "merges.txt")
    kind = _read_json(place / "config.json").get("model_type")
    if kind != "clip":
        raise BadInput(f"This is a model of type {kind!r}, not 'clip'.", where=place / "config.json")


def _require_one_of(folder: Path, *names: str) -> None:
    if not any((folder / name).is_file() for name in names):
        raise BadInput(f"The CLIP model has no {names[0]}.", where=folder, fix=ONE_PLACE)


def _require_safe_parts(index: Path) -> None:
    """Refuse an index that names anything but safetensors files beside it: transformers opens them all."""
    parts = _read_json(index).get("weight_map")
    names = set(map(str, parts.values())) if isinstance(parts, dict) else {"no files"}
    if odd := sorted(name for name in names if not re.fullmatch(r"[\w.-]+\.safetensors", name)):
        why = f"It names {odd[0]!r:.80}; only .safetensors files beside it are read."
        raise BadInput("The CLIP model's weights are not safe to read.", where=index, why=why)


def _require_whole(weights: Path) -> None:
    """Refuse a file that is not safetensors, or shorter than its header says."""
    try:
        with safe_open(weights, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        what, why = "This is not a whole safetensors file.", str(error)
        fix = "Get a new copy; a clone without Git LFS leaves a text file in its place."
        raise BadInput(what, where=weights, why=why, fix=fix) from None


def _read_json(file: Path) -> dict:
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput("This file cannot be read.", where=file, why=str(error)) from None
    if not isinstance(said, dict):
        raise BadInput("This file has no table in it.", where=file)
    return said


setattr(clip_agreement, "check", check)  # noqa: B010 - a function has no such attribute to a type checker
