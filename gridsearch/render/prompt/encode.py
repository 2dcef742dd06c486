"""Prompts in, conditioning out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.functional import pad

from gridsearch.render.prompt.chunks import Chunk, chunks_of

ENCODERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}


@dataclass(frozen=True)
class Encoded:
    """What the text encoders made of one text.

    Attributes:
        tokens: (T, D), T = 77 per chunk, both encoders side by side.
        pooled: (P,), of the first chunk, which emphasis does not change.
        chunks: how many there are.
    """

    tokens: Tensor
    pooled: Tensor
    chunks: int = 1


@dataclass(frozen=True)
class Conditioning:
    """Several texts as a batch.

    Attributes:
        tokens: (N, T, D), T that of the longest text.
        pooled: (N, P).
        mask: (N, T) bool, True where there is a token: the UNet's `encoder_attention_mask`. None where all
            texts are of the same length.
    """

    tokens: Tensor
    pooled: Tensor
    mask: Tensor | None


def encode(pipe: StableDiffusionXLPipeline, text: str, clip_skip: int) -> Encoded:
    """Encode one prompt by itself, with the emphasis and in the chunks of AUTOMATIC1111's web UI.

    A prompt of one chunk without emphasis gives bit for bit what diffusers' `encode_prompt` gives.

    Args:
        pipe: its tokenizers and text encoders are used, where they are and in their precision.
        text: may be empty, and as long as you like.
        clip_skip: 1 reads the last hidden state of both encoders, 2 the last but one, as SDXL was trained,
            and so on (`components.check_clip_skip`). diffusers counts 2 less.
    """
    first, second = (_chunks(pipe, text, name) for name in ENCODERS.values())
    count = max(len(first), len(second))  # the same, unless the two have different vocabularies
    first += _chunks(pipe, "", "tokenizer") * (count - len(first))
    second += _chunks(pipe, "", "tokenizer_2") * (count - len(second))
    tokens, _ = _read(pipe.text_encoder, first, clip_skip)
    tokens_2, pooled = _read(pipe.text_encoder_2, second, clip_skip)
    tokens = torch.cat((tokens, tokens_2), dim=-1).to(pipe.text_encoder_2.dtype)
    return Encoded(tokens, pooled, count)


def zeros_like(encoded: Encoded) -> Encoded:
    """Zeros of one chunk: what SDXL was trained with, and web UIs use, for an empty negative prompt."""
    length = len(encoded.tokens) // encoded.chunks
    return Encoded(torch.zeros_like(encoded.tokens[:length]), torch.zeros_like(encoded.pooled))


def stacked(texts: Sequence[Encoded]) -> Conditioning:
    """A batch of texts, one at least: the shorter ones are filled up with zeros, which are masked."""
    lengths = [len(text.tokens) for text in texts]
    longest = max(lengths)
    tokens = torch.stack([pad(text.tokens, (0, 0, 0, longest - len(text.tokens))) for text in texts])
    pooled = torch.stack([text.pooled for text in texts])
    if min(lengths) == longest:
        return Conditioning(tokens, pooled, None)
    place = torch.arange(longest, device=tokens.device)
    return Conditioning(tokens, pooled, place < torch.tensor(lengths, device=tokens.device)[:, None])


def _chunks(pipe: StableDiffusionXLPipeline, text: str, tokenizer: str) -> tuple[Chunk, ...]:
    return chunks_of(text, getattr(pipe, tokenizer))


def _read(encoder: Any, chunks: Sequence[Chunk], clip_skip: int) -> tuple[Tensor, Tensor]:
    """The hidden states (T, D) of all chunks, weighted, and the first output of the first one.

    That output is the pooled (P,) of an encoder with a projection.
    """
    outputs = [
        encoder(torch.tensor([chunk.ids], device=encoder.device), output_hidden_states=True)
        for chunk in chunks
    ]
    states = [
        weighted(output.hidden_states[-clip_skip][0], chunk.weights)
        for output, chunk in zip(outputs, chunks, strict=True)
    ]
    return torch.cat(states), outputs[0][0][0]


def weighted(states: Tensor, weights: Sequence[float]) -> Tensor:
    """Multiply each token's states (T, D) by its weight, then all of them so that their mean is as before.

    The web UI's "Original" emphasis, per chunk and encoder. In float32, rounded once.
    https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/sd_emphasis.py
    """
    if all(weight == 1 for weight in weights):
        return states
    before = states.float()
    after = before * torch.tensor(weights, device=states.device)[:, None]
    return (after * (before.mean() / after.mean())).to(states.dtype)
