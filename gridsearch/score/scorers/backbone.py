"""The features of a picture, by a backbone in a local folder: DINOv2, or the image half of CLIP.

Oquab et al. 2023, *DINOv2: Learning Robust Visual Features without Supervision*; Radford et al. 2021 (CLIP).
The folder is one of transformers, with `config.json`, `model.safetensors` and `preprocessor_config.json`.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPModel, Dinov2Model

from gridsearch.score.scorers.clip import MEAN, STD, Channels, preprocessed
from gridsearch.score.scorers.folders import load_model, preprocessing, require_model

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation, as DINOv2 was trained
SHORT, SIDE = 256, 224  # pixels: the short side, and the square cut out of it, as DINOv2's processor has them


def picture_features(rgb: np.ndarray, folder: str) -> NDArray[np.float32]:
    """Return the features (D,) of a picture, uint8 (H, W, 3), scaled to length 1.

    DINOv2's are those of its class token after the last normalisation, as in Stein et al. 2023; CLIP's are
    its embedding.

    Raises:
        BadInput: see `check_backbone`.
    """
    model, short, side, mean, std = _load(folder)
    pixels = preprocessed(rgb, side, mean, std, short)[None]
    with torch.inference_mode():
        if isinstance(model, CLIPModel):
            found = model.get_image_features(pixels).pooler_output
        else:
            found = model(pixels).pooler_output
    return np.asarray(torch.nn.functional.normalize(found[0], dim=0))


@lru_cache(maxsize=2)
def _load(folder: str) -> tuple[CLIPModel | Dinov2Model, int, int, Channels, Channels]:
    """Load a backbone; and of its pixels the short side, the square, and the channels' mean and deviation."""
    kind, said = check_backbone(folder), preprocessing(Path(folder))
    model: CLIPModel | Dinov2Model
    if kind == "clip":
        model = load_model(CLIPModel, Path(folder), kind)
        side = model.config.vision_config.image_size
        short, (mean, std) = side, (MEAN, STD)
    else:
        model = load_model(Dinov2Model, Path(folder), kind)
        short, side, (mean, std) = SHORT, SIDE, IMAGENET
    side = said.get("crop_size", {}).get("height", side)
    short = max(side, said.get("size", {}).get("shortest_edge", short))
    return model, short, side, tuple(said.get("image_mean", mean)), tuple(said.get("image_std", std))


def check_backbone(folder: str) -> str:
    """Refuse a folder without a backbone that can be loaded here; returns its type, "clip" or "dinov2".

    Raises:
        BadInput: see `folders.require_model`.
    """
    return require_model(Path(folder), "dinov2", "clip")
