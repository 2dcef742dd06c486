"""A scorer of how well an image agrees with its prompt, by a CLIP model in a local folder.

Radford et al. 2021, *Learning Transferable Visual Models From Natural Language Supervision*; as a score of
images, without scale and offset, Hessel et al. 2021, *CLIPScore*. The folder is one of transformers, with
`config.json`, `model.safetensors` and the tokenizer. Nothing is downloaded, and weights are only read from
safetensors, because a pickle is a program.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.folders import (
    ONE_PLACE,
    load_model,
    preprocessing,
    require_model,
    require_one_of,
)
from gridsearch.score.scorers.plugins import ScoredCase

KIND = "clip"
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


def preprocessed(
    rgb: np.ndarray, side: int, mean: Channels, std: Channels, short: int | None = None
) -> torch.Tensor:
    """Return the middle square of a picture, scaled and normalised as transformers' CLIPImageProcessor does.

    Args:
        rgb: uint8 (H, W, 3).
        mean, std: of each channel, 0..1.
        short: pixels to which the short side is scaled before the square is cut out; None for `side`.
    Returns:
        float32 (3, side, side).
    """
    height, width = rgb.shape[:2]
    least, short = min(height, width), short or side
    size = short * width // least, short * height // least
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
    model = load_model(CLIPModel, Path(folder), KIND)
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    known = model.config.text_config.vocab_size
    if not 2 < len(tokenizer) <= known:
        what = f"The tokenizer has {len(tokenizer)} tokens, but the model has {known}."
        raise BadInput(what, where=folder, fix=ONE_PLACE)
    said = preprocessing(Path(folder))
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
    require_model(place, KIND)
    require_one_of(place, KIND, "tokenizer.json", "vocab.json")
    if not (place / "tokenizer.json").is_file():
        require_one_of(place, KIND, "merges.txt")


setattr(clip_agreement, "check", check)  # noqa: B010 - a function has no such attribute to a type checker
