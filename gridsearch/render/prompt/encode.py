"""Encoding prompts into the UNet's conditioning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.functional import pad

from gridsearch.render.prompt.chunks import Chunk, chunks_of


@dataclass(frozen=True)
class Encoded:
    """The embedding of one text.

    Attributes:
        tokens: (T, D), T = 77 per chunk, both encoders side by side.
        pooled: (P,), of the first chunk; emphasis does not change it.
        chunks: their number.
    """

    tokens: Tensor
    pooled: Tensor
    chunks: int = 1


@dataclass(frozen=True)
class Conditioning:
    """The embeddings of several texts as a batch.

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
    """Encode one prompt with the emphasis and in the chunks of AUTOMATIC1111's web UI.

    A prompt of one chunk without emphasis gives, bit for bit, the result of diffusers' `encode_prompt`.

    Args:
        pipe: the tokenizers and text encoders, used on their device and in their precision.
        text: of any length; it may be empty.
        clip_skip: 1 reads the last hidden state of both encoders, 2 the last but one, as SDXL was trained,
            and so on (`components.check_clip_skip`). diffusers counts 2 less.
    """
    first, second = (_chunks(pipe, text, name) for name in ("tokenizer", "tokenizer_2"))
    count = max(len(first), len(second))  # equal unless the two have different vocabularies
    first += _chunks(pipe, "", "tokenizer") * (count - len(first))
    second += _chunks(pipe, "", "tokenizer_2") * (count - len(second))
    tokens, _ = _read(pipe.text_encoder, first, clip_skip)
    tokens_2, pooled = _read(pipe.text_encoder_2, second, clip_skip)
    tokens = torch.cat((tokens, tokens_2), dim=-1).to(pipe.text_encoder_2.dtype)
    return Encoded(tokens, pooled, count)


def zeros_like(encoded: Encoded) -> Encoded:
    """Return zeros of one chunk: SDXL was trained with them as the empty negative prompt."""
    length = len(encoded.tokens) // encoded.chunks
    return Encoded(torch.zeros_like(encoded.tokens[:length]), torch.zeros_like(encoded.pooled))


def stacked(texts: Sequence[Encoded]) -> Conditioning:
    """Return one or more texts as a batch, the shorter ones filled up with zeros, which are masked."""
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
    """Return the weighted hidden states (T, D) of all chunks, and the first output of the first one.

    That output is the pooled embedding (P,) of an encoder with a projection.
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
    """Multiply each token's states (T, D) by its weight, then scale all of them to their former mean.

    This is the web UI's "Original" emphasis, per chunk and encoder; in float32, rounded once.
    https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/sd_emphasis.py
    """
    if all(weight == 1 for weight in weights):
        return states
    before = states.float()
    after = before * torch.tensor(weights, device=states.device)[:, None]
    return (after * (before.mean() / after.mean())).to(states.dtype)
