"""A scorer of how well an image agrees with its prompt, by a CLIP model in a local folder.

As a score of images, without scale and offset, this is Hessel et al. 2021, *CLIPScore*. HPSv2 (Wu et al.
2023) is the same cosine by a model that learned from people's choices, and PickScore (Kirstain et al. 2023)
that cosine times the model's logit scale. The folder holds the tokenizer too. Nothing is downloaded, and
weights are only read from safetensors, because a pickle is a program.
"""

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.clip import KIND, check_clip, clip_model, picture_embedding
from gridsearch.score.scorers.folders import ONE_PLACE, require_one_of
from gridsearch.score.scorers.plugins import ScoredCase

KEPT_TEXTS = 1000  # whose embeddings are kept; a run asks for the same ones in every trial


def clip_agreement(
    rgb: np.ndarray, case: ScoredCase, *, folder: str, device: str = "auto", logits: bool = False
) -> float:
    """Return the cosine of the angle between the embeddings of an image and its prompt, -1 to 1.

    The prompt, the case's text, is used as written, with its brackets and weights, and cut at the model's
    length, 77 tokens for OpenAI's. `folder` is the model's; the device "auto" is CUDA if there is a GPU. With
    `logits` the cosine is multiplied by the exponential of the model's logit scale.

    Raises:
        BadInput: see `check`.
    """
    text, image = _text_embedding(case.text, folder, device), picture_embedding(rgb, folder, device)
    cosine = float(torch.cosine_similarity(text, image, dim=0))
    return cosine * float(clip_model(folder, device)[0].logit_scale.exp()) if logits else cosine


@lru_cache(maxsize=KEPT_TEXTS)
def _text_embedding(text: str, folder: str, device: str) -> torch.Tensor:
    """Return the model's embedding (D,) of a prompt, float32 on the CPU."""
    tokenizer, model = _tokenizer(folder, device), clip_model(folder, device)[0]
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer(text, truncation=True, max_length=length, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        return model.get_text_features(**tokens).pooler_output[0].cpu()


@cache
def _tokenizer(folder: str, device: str) -> CLIPTokenizer:
    """Load a folder's tokenizer; BadInput where it is not the model's."""
    check(folder, device)
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    known = clip_model(folder, device)[0].config.text_config.vocab_size
    if not 2 < len(tokenizer) <= known:
        what = f"The tokenizer has {len(tokenizer)} tokens, but the model has {known}."
        raise BadInput(what, where=folder, fix=ONE_PLACE)
    return tokenizer


def check(folder: str, device: str = "auto", logits: bool = False) -> None:
    """Refuse a folder without a CLIP model and its tokenizer; the weights are not read.

    Raises:
        BadInput: a file is missing, the weights are only a pickle, it is another kind of model, or there is
            no such device.
    """
    check_clip(folder, device)
    place = Path(folder)
    require_one_of(place, KIND, "tokenizer.json", "vocab.json")
    if not (place / "tokenizer.json").is_file():
        require_one_of(place, KIND, "merges.txt")


setattr(clip_agreement, "check", check)  # noqa: B010 - a function has no such attribute to a type checker
