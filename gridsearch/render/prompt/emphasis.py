r"""Prompts as AUTOMATIC1111's web UI reads them: emphasis by brackets, and BREAK.

    (x) times 1.1    [x] divided by 1.1    (x:1.2) times 1.2    nested brackets multiply
    \( \) \[ \] \\ are the characters themselves; a backslash before anything else is nothing

A bracket that is never closed reaches to the end, and one that was never opened is text. Round and square
brackets do not know of each other. BREAK, as a word of its own, ends a chunk of tokens (`chunks.py`).
https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from gridsearch.base.errors import BadInput

FACTORS = {")": 1.1, "]": 1 / 1.1}  # of a closing bracket
PARTNER = {"(": ")", "[": "]"}
TOKEN = re.compile(
    r"""\\(?P<literal>[()\[\]\\]?)
      | (?P<opening>[(\[])
      | :\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)
      | (?P<closing>[)\]])
      | [^\\()\[\]:]+
      | :""",
    re.VERBOSE,
)
# spaces are looked at from the first one on: from each of them, many would take long
BREAK = re.compile(r"(?:(?<!\s)\s+)?\bBREAK\b\s*")

NETWORK = re.compile(r"<(\w+):([^>]+)>")
COMPOSITION = re.compile(r"\bAND\b")
PROMPT_WEIGHT = re.compile(r":\s*[+-]?(?:\d+\.?|\d*\.\d+)\s*\Z")
BRACKET_OR_MARK = re.compile(r"\\.|[()\[\]:|]", re.DOTALL)
WHEN = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
LORA = (
    'Take it out, write lora = "{name}.safetensors" under [adapters], and add a [[merge]] step with '
    'method = "adapter", models = ["...", "lora"], ratio = {ratio}.'
)


@dataclass(frozen=True)
class WeightedText:
    """A run of text, and what its tokens are multiplied by."""

    text: str
    weight: float


def parse(text: str) -> tuple[tuple[WeightedText, ...], ...]:
    """A prompt's sections, which BREAK parts, each in pieces of one weight.

    Any text can be parsed. No piece is empty; a section may be.
    """
    sections: list[list[tuple[str, float]]] = [[]]
    for run, weight in _runs(text):
        if run is None:
            sections.append([])
        else:
            sections[-1].append((run, weight))
    return tuple(tuple(_joined(section)) for section in sections)


def _joined(section: list[tuple[str, float]]) -> Iterator[WeightedText]:
    """Neighbours of one weight are one piece: they are tokenised together."""
    for weight, runs in groupby(section, key=lambda run: run[1]):
        if text := "".join(run for run, _ in runs):
            yield WeightedText(text, weight)


def _runs(text: str) -> list[tuple[str | None, float]]:
    """Runs of text, None for BREAK, each with the product of the brackets around it."""
    runs: list[str | None] = []
    weights: list[float] = []
    opened: dict[str, list[int]] = {bracket: [] for bracket in FACTORS}

    def close(bracket: str, factor: float) -> None:
        start = opened[bracket].pop()
        weights[start:] = [weight * factor for weight in weights[start:]]

    for token in TOKEN.finditer(text):
        closing = ")" if token["weight"] else token["closing"]
        if token["opening"]:
            opened[PARTNER[token["opening"]]].append(len(runs))
        elif closing and opened[closing]:
            close(closing, float(token["weight"]) if token["weight"] else FACTORS[closing])
        elif token["literal"] is not None:
            runs.append(token["literal"])
        else:
            for place, run in enumerate(BREAK.split(token[0])):
                runs += [None, run] if place else [run]
        weights += [1.0] * (len(runs) - len(weights))
    for bracket, factor in FACTORS.items():
        while opened[bracket]:
            close(bracket, factor)
    return list(zip(runs, weights, strict=True))


def require_plain_prompt(text: str, where: object = None, negative: bool = False) -> None:
    """Raise BadInput where a prompt would condition otherwise here than in the web UI it is written for.

    Args:
        text: the prompt.
        where: what to call its place in the error.
        negative: of a negative prompt the web UI takes AND, and a number at the end, for text.

    Raises:
        BadInput: the prompt names a network, changes with the steps, is composed of several, has a comment,
            breaks within brackets, or weighs something by infinity.
    """
    for what, why, fix in _misreadings(text, negative):
        raise BadInput(" ".join(what.split()), where=where, why=why, fix=fix)


def _misreadings(text: str, negative: bool) -> Iterator[tuple[str, str, str]]:
    """What, why and how to mend it, for each thing that would silently mean something else here."""
    if network := NETWORK.search(text):
        yield _network(*network.group(0, 1, 2))
    if edited := _editing(text):
        yield (
            f"The prompt changes from step to step: {edited}",
            "prompt editing and alternating words are not supported; every step sees the same prompt",
            r"Write out one of the variants, or \[ and \] where brackets are meant.",
        )
    if not negative and COMPOSITION.search(text):
        yield (
            "The prompt is composed of several by AND.",
            "web UIs draw each with a guidance of its own, which is not supported",
            "Write one prompt, with commas or BREAK between its parts, or `and` for the word.",
        )
    if not negative and (weight := PROMPT_WEIGHT.search(text)):
        yield (
            f"The prompt ends with a weight: {weight[0].strip()}",
            "web UIs take it for the weight of the whole prompt, which is not supported",
            "Multiply cfg by it instead; where the number is text, put a comma after it.",
        )
    if "#" in text:
        comment = text[text.index("#") :].splitlines()[0]
        yield (
            f"The prompt has a comment: {comment[:40]}",
            "web UIs drop a # and what follows it in the line",
            "Take it out; in the experiment file a comment stands outside the quotes.",
        )
    runs = _runs(text)
    if any(run is None and weight != 1 for run, weight in runs):
        yield (
            "The prompt has a BREAK within brackets.",
            "web UIs read it as the word, with a negative weight",
            "Close the brackets before BREAK, and open them again after it.",
        )
    if not all(math.isfinite(weight) for _, weight in runs):
        yield "The prompt has a weight that is not finite.", "brackets multiply", "Use smaller weights."


def _network(tag: str, kind: str, arguments: str) -> tuple[str, str, str]:
    name, *strengths = (argument.strip() for argument in arguments.split(":"))
    why = "networks are merged before a prompt is read; here it would be read as words"
    if kind in ("lora", "lyco"):
        te, *unet = strengths or ["1"]
        ratio = f"{{ te = {te}, unet = {unet[0]} }}" if unet else te
        return f"The prompt names a LoRA: {tag}", why, LORA.format(name=name, ratio=ratio)
    if kind == "hypernet":
        return f"The prompt names a hypernetwork: {tag}", why, "Take it out: hypernetworks are not supported."
    return (
        f"The prompt has a tag that is no text: {tag}",
        "web UIs take such tags out of a prompt",
        "Take it out, or leave a space before the colon.",
    )


def _editing(text: str) -> str | None:
    """The first [from:to:when], [to:when], [from::when] or [a|b|...], as the web UI's grammar has them.

    What is within has balanced brackets; `when` is a number; other brackets with colons are no editing.
    https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#prompt-editing
    """
    opened: list[tuple[int, list[int]]] = []  # where each bracket began, and the marks right within it
    for found in BRACKET_OR_MARK.finditer(text):
        at, mark = found.start(), found[0]
        if mark in PARTNER:
            opened.append((at, []))
        elif mark in ":|" and opened:
            opened[-1][1].append(at)
        elif mark in FACTORS and opened:
            start, marks = opened.pop()
            if PARTNER[text[start]] != mark:
                opened.clear()  # nothing that is open can be balanced any more
            elif mark == "]" and _is_editing(text, marks, at):
                return text[start : at + 1]
    return None


def _is_editing(text: str, marks: list[int], end: int) -> bool:
    kinds = "".join(text[mark] for mark in marks)
    if kinds in (":", "::"):
        return WHEN.fullmatch(text, marks[-1] + 1, end) is not None
    return set(kinds) == {"|"}
