"""A prompt -> chunks of token ids with a weight each, split where AUTOMATIC1111's web UI splits it.

A text encoder of SDXL reads 75 tokens between a start and an end. A longer prompt is read in chunks, each by
itself. A chunk that would overflow ends after its last comma, where that is among its last 20 tokens.
https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#infinite-prompt-length
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gridsearch.render.prompt.emphasis import WeightedText, parse

BACKTRACK = 20  # tokens; the web UI's "Prompt word wrap length limit"

Token = tuple[int, float]  # its id, its weight


@dataclass(frozen=True)
class Chunk:
    """What a text encoder reads at once: as many ids, and a weight for each, as it has places (77)."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def chunks_of(text: str, tokenizer: Any) -> tuple[Chunk, ...]:
    """A prompt's chunks, one at least.

    Args:
        text: with emphasis, as `emphasis.parse` reads it.
        tokenizer: transformers' CLIPTokenizer; its `model_max_length` says how long a chunk is.
    """
    *broken, last = [_tokens(pieces, tokenizer) for pieces in parse(text)]
    size = tokenizer.model_max_length - 2
    comma = tokenizer(",", add_special_tokens=False).input_ids[-1]
    parts = [part for section in broken for part in _split(section, size, comma)]
    if last or not parts:  # nothing after a BREAK is no chunk; nothing before one is
        parts += _split(last, size, comma)
    return tuple(_wrapped(part, size, tokenizer) for part in parts)


def _tokens(pieces: tuple[WeightedText, ...], tokenizer: Any) -> list[Token]:
    """The tokens of a section: each piece is tokenised by itself."""
    return [
        (token, piece.weight)
        for piece in pieces
        for token in tokenizer(piece.text, add_special_tokens=False, verbose=False).input_ids
    ]


def _split(tokens: list[Token], size: int, comma: int) -> Iterator[list[Token]]:
    start = 0
    while len(tokens) - start > size:
        end = start + _length(tokens[start : start + size + 1], comma)
        yield tokens[start:end]
        start = end
    yield tokens[start:]


def _length(tokens: list[Token], comma: int) -> int:
    """How many of these tokens, one too many for a chunk, are its own."""
    *own, (following, _) = tokens
    if following != comma:
        for end in range(len(own), max(len(own) - BACKTRACK, 0), -1):
            if own[end - 1][0] == comma:
                return end
    return len(own)


def _wrapped(tokens: list[Token], size: int, tokenizer: Any) -> Chunk:
    """Start, tokens, end, padding. Where the pad is not the end, all after the first end is padding."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    room = size - len(tokens)
    ids = [tokenizer.bos_token_id, *(token for token, _ in tokens), end] + [end] * room
    if pad != end:
        own = ids.index(end) + 1
        ids[own:] = [pad] * (len(ids) - own)
    return Chunk(tuple(ids), (1.0, *(weight for _, weight in tokens), 1.0, *[1.0] * room))
