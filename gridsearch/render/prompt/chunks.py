"""Splitting a prompt into chunks of weighted tokens where AUTOMATIC1111's web UI splits it.

A text encoder of SDXL reads 75 tokens between a start and an end. A longer prompt is read in chunks, each by
itself. A chunk that would overflow ends after its last comma, if that is among its last 20 tokens.
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
    """The ids, each with a weight, that a text encoder reads at once: as many as it has places (77)."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


def chunks_of(text: str, tokenizer: Any) -> tuple[Chunk, ...]:
    """Return a prompt's chunks, one at least.

    Args:
        text: with emphasis, as `emphasis.parse` reads it.
        tokenizer: a CLIPTokenizer of transformers, whose `model_max_length` is the length of a chunk.
    """
    *broken, last = [_tokens(pieces, tokenizer) for pieces in parse(text)]
    size = tokenizer.model_max_length - 2
    comma = tokenizer(",", add_special_tokens=False).input_ids[-1]
    parts = [part for section in broken for part in _split(section, size, comma)]
    if last or not parts:  # an empty end makes no chunk; an empty beginning does
        parts += _split(last, size, comma)
    return tuple(_wrapped(part, size, tokenizer) for part in parts)


def _tokens(pieces: tuple[WeightedText, ...], tokenizer: Any) -> list[Token]:
    """Return the tokens of a section; each piece is tokenised by itself."""
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
    """Return how many of these tokens, one more than fit, belong to the chunk."""
    *own, (following, _) = tokens
    if following != comma:
        for end in range(len(own), max(len(own) - BACKTRACK, 0), -1):
            if own[end - 1][0] == comma:
                return end
    return len(own)


def _wrapped(tokens: list[Token], size: int, tokenizer: Any) -> Chunk:
    """Return the chunk: start, tokens, end, padding; all after the first end is padding."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    free = size - len(tokens)
    ids = [tokenizer.bos_token_id, *(token for token, _ in tokens), end] + [end] * free
    if pad != end:
        own = ids.index(end) + 1
        ids[own:] = [pad] * (len(ids) - own)
    return Chunk(tuple(ids), (1.0, *(weight for _, weight in tokens), 1.0, *[1.0] * free))
