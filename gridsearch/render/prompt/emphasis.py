r"""The prompt syntax of AUTOMATIC1111's web UI: emphasis by brackets, and BREAK.

    (x) times 1.1    [x] divided by 1.1    (x:1.2) times 1.2    nested brackets multiply
    \( \) \[ \] \\ are the characters themselves; a backslash before anything else is dropped

A bracket that is never closed reaches to the end, and one that was never opened is text. Round and square
brackets are matched separately. BREAK, as a word of its own, ends a chunk of tokens (`encode`).
https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

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
# starts at the first of several spaces: tried from each of them, many would take long
BREAK = re.compile(r"(?:(?<!\s)\s+)?\bBREAK\b\s*")

NETWORK = re.compile(r"<(\w+):([^>]+)>")
LORAS = ("lora", "lyco")  # how such tags begin
WHY_NO_NETWORK = "Networks are merged before prompts are read; here the tag would be read as words."
COMPOSITION = re.compile(r"\bAND\b")
PROMPT_WEIGHT = re.compile(r":\s*[+-]?(?:\d+\.?|\d*\.\d+)\s*\Z")
BRACKET_OR_MARK = re.compile(r"\\.|[()\[\]:|]", re.DOTALL)
WHEN = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class WeightedText:
    """A run of text and the weight of its tokens."""

    text: str
    weight: float


def parse(text: str) -> tuple[tuple[WeightedText, ...], ...]:
    """Return a prompt's sections, separated by BREAK, each as pieces of one weight.

    Any text can be parsed. No piece is empty; a section may be.
    """
    sections: list[list[WeightedText]] = [[]]
    for run, weight in _runs(text):
        section = sections[-1]
        if run is None:
            sections.append([])
        elif section and section[-1].weight == weight:  # they are tokenised together
            section[-1] = WeightedText(section[-1].text + run, weight)
        else:
            section.append(WeightedText(run, weight))
    return tuple(tuple(piece for piece in section if piece.text) for section in sections)


def _runs(text: str) -> list[tuple[str | None, float]]:
    """Return runs of text, None for BREAK, each with the product of the brackets around it."""
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
    """Refuse a prompt that would condition differently here than in a web UI.

    Args:
        negative: whether it is a negative prompt, in which AND, and a number at the end, are text.

    Raises:
        BadInput: the prompt names a network, changes with the steps, is composed of several, has a comment,
            breaks within brackets, or has an infinite weight.
    """
    for what, why, fix in _misreadings(text, negative):
        raise BadInput(" ".join(what.split()), where=where, why=why, fix=fix)


def _misreadings(text: str, negative: bool) -> Iterator[tuple[str, str, str]]:
    """Yield what, why and how to mend it for all that would silently mean something else here."""
    if network := NETWORK.search(text):
        yield _network(*network.group(0, 1))
    if edited := _editing(text):
        what = f"The prompt changes from step to step: {edited}"
        why = "Prompt editing and alternating words are not supported; every step uses the same prompt."
        yield what, why, r"Write out one of the variants, or \[ and \] where brackets are meant."
    if not negative and COMPOSITION.search(text):
        what = "The prompt joins several prompts by AND."
        why = "Web UIs guide each of them separately, which is not supported."
        yield what, why, "Write one prompt with commas or BREAK between its parts, or `and` for the word."
    if not negative and (weight := PROMPT_WEIGHT.search(text)):
        what = f"The prompt ends with a weight: {weight[0].strip()}"
        why = "Web UIs take it as the weight of the whole prompt, which is not supported."
        yield what, why, "Multiply cfg by it instead; if the number is text, put a comma after it."
    if "#" in text:
        comment = text[text.index("#") :].splitlines()[0]
        what = f"The prompt has a comment: {comment[:40]}"
        why = "Web UIs drop a # and the rest of its line."
        yield what, why, "Remove it; in an experiment file, comments belong outside the quotes."
    runs = _runs(text)
    if any(run is None and weight != 1 for run, weight in runs):
        what = "The prompt has a BREAK within brackets."
        why = "Web UIs read it as the word, with a negative weight."
        yield what, why, "Close the brackets before BREAK and open them again after it."
    if not all(math.isfinite(weight) for _, weight in runs):
        yield "The prompt has an infinite weight.", "Nested brackets multiply.", "Use smaller weights."


@dataclass(frozen=True)
class Lora:
    """A LoRA that a prompt names: the tag as it stands there, and the strengths for both kinds of models."""

    tag: str
    name: str
    te: float
    unet: float


def loras_in(text: str) -> list[Lora]:
    """Return the LoRAs that a prompt names: <lora:name>, <lora:name:0.8>, <lora:name:0.8:0.5>.

    The strengths are those of the text encoders and of the UNet, which is as the first where it is not given;
    they may also be named, te=0.8 and unet=0.5. One that is no number is read as 1.
    https://github.com/AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora/extra_networks_lora.py
    """
    found = []
    for tag, kind, arguments in (network.group(0, 1, 2) for network in NETWORK.finditer(text)):
        if kind in LORAS:
            name, *strengths = (argument.strip() for argument in arguments.split(":"))
            plain = [strength for strength in strengths if "=" not in strength]
            named = dict(strength.split("=", 1) for strength in strengths if "=" in strength)
            te = named.get("te", plain[0] if plain else "1")
            unet = named.get("unet", plain[1] if len(plain) > 1 else te)
            found.append(Lora(tag, name, _strength(te), _strength(unet)))
    return found


def _strength(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 1.0
    return number if math.isfinite(number) else 1.0


def _network(tag: str, kind: str) -> tuple[str, str, str]:
    if kind in ("embed", "embedding"):
        what = f"The prompt names a textual inversion: {tag}"
        return what, WHY_NO_NETWORK, "Remove it: they are not loaded."
    if kind == "hypernet":
        what = f"The prompt names a hypernetwork: {tag}"
        return what, WHY_NO_NETWORK, "Remove it: hypernetworks are not supported."
    return (
        f"The prompt has a tag: {tag}",
        "Web UIs remove such tags from a prompt.",
        "Remove it, or put a space before the colon if it is text.",
    )


def _editing(text: str) -> str | None:
    """Return the first prompt editing in a text: [from:to:when], [to:when], [from::when] or [a|b|...].

    Brackets inside it are balanced and `when` is a number; other brackets with colons are not editing.
    https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#prompt-editing
    """
    opened: list[tuple[int, list[int]]] = []  # where each bracket began, and the marks directly inside it
    for found in BRACKET_OR_MARK.finditer(text):
        at, mark = found.start(), found[0]
        if mark in PARTNER:
            opened.append((at, []))
        elif mark in ":|" and opened:
            opened[-1][1].append(at)
        elif mark in FACTORS and opened:
            start, marks = opened.pop()
            if PARTNER[text[start]] != mark:
                opened.clear()  # no open bracket can be balanced any more
            elif mark == "]":
                kinds = "".join(text[mark] for mark in marks)
                changes = kinds in (":", "::") and WHEN.fullmatch(text, marks[-1] + 1, at)
                if changes or set(kinds) == {"|"}:
                    return text[start : at + 1]
    return None
