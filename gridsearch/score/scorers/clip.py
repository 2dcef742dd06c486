"""A CLIP model in a local folder: loaded once, and its embeddings of pictures.

Radford et al. 2021, *Learning Transferable Visual Models From Natural Language Supervision*. The folder is
one of transformers, with `config.json` and `model.safetensors`. Nothing is downloaded.
"""

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.folders import load_model, preprocessing, require_model

KIND = "clip"
DEVICES = ("auto", "cpu", "cuda")
LAST = 4  # pictures whose embeddings are kept: several scorers ask for the same one in turn
Channels = tuple[float, ...]  # a value of each
# As OpenAI's models were trained; a folder's preprocessor_config.json may say otherwise.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def picture_embedding(rgb: np.ndarray, folder: str, device: str = "auto") -> torch.Tensor:
    """Return the model's embedding (D,) of a picture, uint8 (H, W, 3), as it is, float32 on the CPU.

    Raises:
        BadInput: see `check_clip`.
    """
    return _embedding(folder, device, rgb.shape[:2], rgb.tobytes())


@lru_cache(maxsize=LAST)
def _embedding(folder: str, device: str, shape: tuple[int, int], pixels: bytes) -> torch.Tensor:
    model, mean, std = clip_model(folder, device)
    rgb = np.frombuffer(pixels, np.uint8).reshape(*shape, 3)
    square = preprocessed(rgb, model.config.vision_config.image_size, mean, std)
    with torch.inference_mode():
        return model.get_image_features(square[None].to(model.device)).pooler_output[0].cpu()


@cache  # as many as an experiment's scorers name; to load them in turn would take all night
def clip_model(folder: str, device: str) -> tuple[CLIPModel, Channels, Channels]:
    """Load the model in float32, and the mean and deviation of its pixels' channels.

    Raises:
        BadInput: see `check_clip`.
    """
    check_clip(folder, device)
    said = preprocessing(Path(folder))
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model = load_model(CLIPModel, Path(folder), KIND).to(place)
    return model, tuple(said.get("image_mean", MEAN)), tuple(said.get("image_std", STD))


def check_clip(folder: str, device: str) -> None:
    """Refuse a folder without a CLIP model that can be loaded here; its weights are not read.

    Raises:
        BadInput: the folder or a file in it is missing, its weights are only a pickle, it is another kind of
            model, or there is no such device.
    """
    if device not in DEVICES:
        fix = f"Use one of {', '.join(DEVICES)}."
        raise BadInput(f"There is no device {device!r}.", where="device", fix=fix)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("There is no CUDA device here.", where="device", fix='Set device = "cpu".')
    require_model(Path(folder), KIND)


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
