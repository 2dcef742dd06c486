"""Encoding prompts into the UNet's conditioning, in the chunks of AUTOMATIC1111's web UI.

A text encoder reads 75 tokens between a start and an end. A longer prompt is read in chunks, each by
itself. A chunk that would overflow ends after its last comma, if that is among its last 20 tokens.
https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#infinite-prompt-length
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from gridsearch.checkpoint.families import family_of_components
from gridsearch.checkpoint.ldm.layout import last_norm
from gridsearch.render.prompt.emphasis import parse

BACKTRACK = 20  # tokens; the web UI's "Prompt word wrap length limit"

Token = tuple[int, float]  # its id, its weight


@dataclass(frozen=True)
class Encoded:
    """The embedding of one text."""

    tokens: Tensor  # (T, D), T = 77 per chunk, all encoders side by side
    pooled: Tensor | None  # (P,), of the first chunk; emphasis does not change it; None where none pools
    chunks: int = 1


@dataclass(frozen=True)
class Conditioning:
    """The embeddings of several texts as a batch."""

    tokens: Tensor  # (N, T, D), T that of the longest text
    pooled: Tensor | None  # (N, P); None where no text encoder pools
    # (N, T) bool, True where there is a token, for the UNet; None where all texts are of the same length
    mask: Tensor | None


def encode(pipe: Any, text: str, clip_skip: int) -> Encoded:
    """Encode one prompt with the emphasis and in the chunks of AUTOMATIC1111's web UI.

    A prompt of one chunk without emphasis gives, bit for bit, the result of diffusers' `encode_prompt`.

    Args:
        pipe: a pipeline of diffusers, whose tokenizers and text encoders are used where they are.
        text: of any length; it may be empty.
        clip_skip: 1 reads the last hidden state of the encoders, 2 the last but one, as SDXL was trained,
            and so on (`components.check_clip_skip`). diffusers counts 2 less for SDXL, and 1 for others.
    """
    family = family_of_components(pipe.components)
    chunks = [chunks_of(text, pipe.components[one.tokenizer]) for one in family.text_encoders]
    count = max(map(len, chunks))  # of all, unless they have different vocabularies
    states, pooled = [], None
    for one, own in zip(family.text_encoders, chunks, strict=True):
        encoder = pipe.components[one.component]
        own += chunks_of("", pipe.components[one.tokenizer]) * (count - len(own))
        tokens, first = _read(encoder, own, clip_skip, family.normed_states)
        states.append(tokens)
        pooled = first if one.projected else pooled
    return Encoded(torch.cat(states, dim=-1).to(encoder.dtype), pooled, count)


def zeros_like(encoded: Encoded) -> Encoded:
    """Return zeros of one chunk: SDXL was trained with them as the empty negative prompt."""
    length = len(encoded.tokens) // encoded.chunks
    pooled = None if encoded.pooled is None else torch.zeros_like(encoded.pooled)
    return Encoded(torch.zeros_like(encoded.tokens[:length]), pooled)


def stacked(texts: Sequence[Encoded]) -> Conditioning:
    """Return one or more texts as a batch, the shorter ones filled up with zeros, which are masked."""
    lengths = [len(text.tokens) for text in texts]
    longest = max(lengths)
    tokens = torch.stack([pad(text.tokens, (0, 0, 0, longest - len(text.tokens))) for text in texts])
    pooled = [text.pooled for text in texts if text.pooled is not None]
    together = torch.stack(pooled) if pooled else None
    if min(lengths) == longest:
        return Conditioning(tokens, together, None)
    place = torch.arange(longest, device=tokens.device)
    mask = place < torch.tensor(lengths, device=tokens.device)[:, None]
    return Conditioning(tokens, together, mask)


def _read(encoder: Any, chunks: Sequence["Chunk"], clip_skip: int, normed: bool) -> tuple[Tensor, Tensor]:
    """Return the weighted hidden states (T, D) of all chunks, and the first output of the first one.

    That output is the pooled embedding (P,) of an encoder with a projection. `normed` states have gone
    through the encoder's last norm.
    """
    norm = last_norm(encoder) if normed else torch.nn.Identity()
    outputs = [
        encoder(torch.tensor([chunk.ids], device=encoder.device), output_hidden_states=True)
        for chunk in chunks
    ]
    states = [
        weighted(norm(output.hidden_states[-clip_skip])[0], chunk.weights)
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


# -- chunks


@dataclass(frozen=True)
class Chunk:
    """The ids, each with a weight, that a text encoder reads at once: as many as it has places (77)."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def chunks_of(text: str, tokenizer: Any) -> tuple[Chunk, ...]:
    """Return a prompt's chunks, one at least.

    Args:
        text: with emphasis, as `emphasis.parse` reads it.
        tokenizer: a CLIPTokenizer of transformers, whose `model_max_length` is the length of a chunk.
    """
    *broken, last = (
        [
            (token, piece.weight)
            for piece in pieces  # each is tokenised by itself
            for token in tokenizer(piece.text, add_special_tokens=False, verbose=False).input_ids
        ]
        for pieces in parse(text)
    )
    size = tokenizer.model_max_length - 2
    comma = tokenizer(",", add_special_tokens=False).input_ids[-1]
    parts = [part for section in broken for part in _split(section, size, comma)]
    if last or not parts:  # an empty end makes no chunk; an empty beginning does
        parts += _split(last, size, comma)
    return tuple(_wrapped(part, size, tokenizer) for part in parts)


def _split(tokens: list[Token], size: int, comma: int) -> Iterator[list[Token]]:
    while len(tokens) > size:
        end = size
        if tokens[size][0] != comma:
            commas = (at for at in range(size, max(size - BACKTRACK, 0), -1) if tokens[at - 1][0] == comma)
            end = next(commas, size)
        yield tokens[:end]
        tokens = tokens[end:]
    yield tokens


def _wrapped(tokens: list[Token], size: int, tokenizer: Any) -> Chunk:
    """Return the chunk: start, tokens, end, padding; all after the first end is padding."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    free = size - len(tokens)
    ids = [tokenizer.bos_token_id, *(token for token, _ in tokens), *[end] * (free + 1)]
    if pad != end:
        own = ids.index(end) + 1
        ids[own:] = [pad] * (len(ids) - own)
    return Chunk(tuple(ids), (1.0, *(weight for _, weight in tokens), *[1.0] * (free + 1)))
