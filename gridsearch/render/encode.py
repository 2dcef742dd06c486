"""Prompts in, conditioning out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    tokens: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class Conditioning:
    tokens: Tensor
    pooled: Tensor
    mask: Tensor | None


def encode(pipe: StableDiffusionXLPipeline, text: str, clip_skip: int) -> Encoded:
    tokens, _, pooled, _ = pipe.encode_prompt(
        prompt=text, do_classifier_free_guidance=False, clip_skip=clip_skip - 2
    )
    return Encoded(tokens[0], pooled[0])


def zeros_like(encoded: Encoded) -> Encoded:
    return Encoded(torch.zeros_like(encoded.tokens[:77]), torch.zeros_like(encoded.pooled))


def stacked(texts: Sequence[Encoded]) -> Conditioning:
    return Conditioning(torch.stack([t.tokens for t in texts]), torch.stack([t.pooled for t in texts]), None)
