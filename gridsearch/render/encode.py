"""Prompts in, conditioning out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from gridsearch.render.cases import Case


@dataclass(frozen=True)
class Embeddings:
    """Text conditioning of cases: tokens (N, T, D) and pooled (N, P), for the prompt and against it."""

    tokens: Tensor
    pooled: Tensor
    negative_tokens: Tensor
    negative_pooled: Tensor


def encode(pipe: StableDiffusionXLPipeline, cases: Sequence[Case], unconditional: str) -> Embeddings:
    """Encode prompts and negative prompts. An empty negative prompt is zeros, or encoded as it is.

    Zeros are what SDXL was trained with, and what diffusers and A1111 use; ComfyUI encodes the empty text.
    """
    tokens, negative_tokens, pooled, negative_pooled = pipe.encode_prompt(
        prompt=[case.text for case in cases],
        negative_prompt=[case.negative for case in cases],
        do_classifier_free_guidance=True,
    )
    if unconditional == "zeros":
        empty = torch.tensor([not case.negative for case in cases], device=tokens.device)
        negative_tokens = negative_tokens.masked_fill(empty[:, None, None], 0)
        negative_pooled = negative_pooled.masked_fill(empty[:, None], 0)
    return Embeddings(tokens, pooled, negative_tokens, negative_pooled)
