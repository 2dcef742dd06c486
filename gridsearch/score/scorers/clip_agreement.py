"""How well an image agrees with its prompt, by a CLIP model in a local folder.

Radford et al. 2021, *Learning Transferable Visual Models From Natural Language Supervision*; as a score of
images, without its scale and offset, Hessel et al. 2021, *CLIPScore*. The folder is one as transformers keeps
it: `config.json`, `model.safetensors` and the tokenizer. Nothing is downloaded, and weights are read from
safetensors alone, because a pickle is a program.
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
from gridsearch.score.scorers.plugins import ScorerCase

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # whole, or in parts
TOKENIZER = ("tokenizer.json", "vocab.json")  # either way of keeping it
DEVICES = ("auto", "cpu", "cuda")
# What OpenAI's models were trained with; a folder's preprocessor_config.json may say otherwise.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def clip_agreement(rgb: np.ndarray, case: ScorerCase, *, folder: str, device: str = "auto") -> float:
    """Cosine of the angle between the embeddings of an image and of its prompt, -1 to 1.

    The prompt is taken as it is written, weights in brackets included, and cut at what the model reads, 77
    tokens of OpenAI's.

    Args:
        rgb: uint8 (H, W, 3).
        case: its text is the prompt.
        folder: of the model.
        device: "cpu", "cuda", or "auto": CUDA where there is one.
    Raises:
        BadInput: see `check`.
    """
    model, tokenizer, mean, std = load(folder, device)
    tokens = tokenizer(
        case.text,
        truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        return_tensors="pt",
    )
    pixels = preprocessed(rgb, model.config.vision_config.image_size, mean, std)
    with torch.inference_mode():
        found = model(
            input_ids=tokens["input_ids"].to(model.device),
            attention_mask=tokens["attention_mask"].to(model.device),
            pixel_values=pixels[None].to(model.device),
        )
    return float(torch.cosine_similarity(found.text_embeds, found.image_embeds)[0])


def preprocessed(rgb: np.ndarray, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """The middle square of a picture, scaled as CLIPImageProcessor of transformers does it.

    Args:
        rgb: uint8 (H, W, 3).
        side: pixels, of the square that the model sees.
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
    normed = (np.float32(square) / 255 - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(normed).permute(2, 0, 1)


@lru_cache(maxsize=2)  # once a process; a second one is a comparison of two
def load(folder: str, device: str) -> tuple[CLIPModel, CLIPTokenizer, tuple[float, ...], tuple[float, ...]]:
    """The model in float32, its tokenizer, and the mean and deviation of its pixels' channels.

    Raises:
        BadInput: see `check`.
    """
    check(folder, device)
    logging.disable_progress_bar()  # they draw over the program's own
    try:
        model, loading = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.enable_progress_bar()
    if loading["missing_keys"]:  # transformers would go on with random numbers in their place
        missing = sorted(loading["missing_keys"])
        why = (
            f"{missing[0]} and {len(missing) - 1} more are not in it."
            if missing[1:]
            else f"It has no {missing[0]}."
        )
        raise BadInput("The weights are not the whole of a CLIP model.", where=folder, why=why)
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if not 2 < len(tokenizer) <= model.config.text_config.vocab_size:
        raise BadInput(
            f"The tokenizer has {len(tokenizer)} tokens, the model {model.config.text_config.vocab_size}.",
            where=folder,
            fix="Get all files of the model from one place.",
        )
    own = Path(folder, "preprocessor_config.json")
    said = _read_json(own) if own.is_file() else {}
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return model.eval().to(place), tokenizer, said.get("image_mean", MEAN), said.get("image_std", STD)


def check(folder: str, device: str = "auto") -> None:
    """Whether a folder holds a CLIP model that can be loaded here, known without reading its weights.

    Raises:
        BadInput: the folder or a file in it is missing, its weights are a pickle only, it is another kind of
            model, or there is no such device.
    """
    place = Path(folder)
    if device not in DEVICES:
        raise BadInput(
            f"There is no device {device!r}.", where="device", fix=f"Use one of {', '.join(DEVICES)}."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("There is no CUDA device here.", where="device", fix='Set device = "cpu".')
    if not place.is_dir():
        raise BadInput(
            "There is no such folder of a CLIP model.",
            where=place,
            fix="Name one with config.json, model.safetensors and tokenizer.json. Nothing is downloaded.",
        )
    _require(place, "config.json")
    if not any((place / name).is_file() for name in WEIGHTS):
        pickles = sorted(file.name for file in place.glob("*.bin"))
        why = pickles and f"{pickles[0]} is a pickle, which can run code, so it is not read."
        fix = "Get the model's .safetensors file."
        raise BadInput("The CLIP model has no model.safetensors.", where=place, why=why or None, fix=fix)
    if (place / WEIGHTS[0]).is_file():
        _require_whole(place / WEIGHTS[0])
    if (place / WEIGHTS[1]).is_file():
        _require_safe_parts(place / WEIGHTS[1])
    if not any((place / name).is_file() for name in TOKENIZER):
        _require(place, TOKENIZER[0])
    if not (place / TOKENIZER[0]).is_file():
        _require(place, "merges.txt")
    kind = _read_json(place / "config.json").get("model_type")
    if kind != "clip":
        raise BadInput(f"This is a model of type {kind!r}, not 'clip'.", where=place / "config.json")


def _require(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        fix = "Get all files of the model from one place."
        raise BadInput(f"The CLIP model has no {name}.", where=folder, fix=fix)


def _require_safe_parts(index: Path) -> None:
    """Whether an index names safetensors files beside it only: transformers opens whatever it names."""
    parts = _read_json(index).get("weight_map")
    names = set(map(str, parts.values())) if isinstance(parts, dict) else {"no files"}
    if odd := sorted(name for name in names if not re.fullmatch(r"[\w.-]+\.safetensors", name)):
        why = f"It names {odd[0]!r:.80}; only .safetensors files beside it are read."
        raise BadInput("The CLIP model's weights are not safe to read.", where=index, why=why)


def _require_whole(weights: Path) -> None:
    """Whether a file can be opened as what its name says: its header, and as many bytes as that promises."""
    try:
        with safe_open(weights, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        fix = "Get it anew; a clone without Git LFS leaves a note in its place."
        raise BadInput("This is no whole safetensors file.", where=weights, why=str(error), fix=fix) from None


def _read_json(file: Path) -> dict:
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput("This file cannot be read.", where=file, why=str(error)) from None
    if not isinstance(said, dict):
        raise BadInput("This file holds no table.", where=file)
    return said


clip_agreement.check = check
