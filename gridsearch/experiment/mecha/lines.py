"""The lines of sd-mecha's recipes (.mecha): instructions and their arguments, in format version 0.1.0 so:

    version 0.1.0
    # a comment; it does not count
    model "models/a.safetensors" model_config="sdxl-sgm" merge_space="weight"
    model "models/b.safetensors" model_config="sdxl-sgm" merge_space="weight"
    merge "weighted_sum" &0 &1 alpha=0.3

`&0` is the result of the first instruction after the version. The last one's is the recipe's. Before version
0.1.0 there was no such first line, `call` or `recipe` stood for `merge`, and a model had "sdxl" "base" behind
its path.

sd-mecha's own reader is not used: to choose among some methods it opens the models that a recipe names, it
takes seconds to load, it reads none of the earlier forms, and its errors often name no line.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridsearch.base.errors import BadInput

VERSION = "version 0.1.0"

# A whole argument: its name, where it has one, then a string (in which a backslash keeps the next character)
# or a bare word. What is passed over is never looked at again, so that a hostile line takes no more room.
_ARGUMENT = re.compile(r'\s*+(?:([^\s"=&]++)=)?(?:"((?:[^"\\]|\\.)*+)"|([^\s"=]++))(?=\s|$)')
_ESCAPED = re.compile(r'\\(["\\])')  # any other backslash is one that nobody escaped, as in C:\models
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CONSTANTS = {"null": None, "true": True, "false": False}


@dataclass(frozen=True)
class Instruction:
    """A line: a command and the values of its arguments, `named` ones apart."""

    command: str
    given: Sequence[Any]
    named: Mapping[str, Any]


def parsed(line: str, results: Sequence[Any]) -> Instruction:
    """Return the instruction in a line; `&N` is one of the earlier `results`. Its errors name no place."""
    command, *_ = line.split(None, 1)
    given: list[Any] = []
    named: dict[str, Any] = {}
    at = len(command)
    while at < len(line):
        match = _ARGUMENT.match(line, at)
        if not match:
            rest = line[at:].strip()
            if re.sub(r"\\.", "", rest).count('"') % 2:
                raise BadInput("A quote is not closed.")
            raise BadInput(f"This cannot be read: {rest!r:.60}")
        name, string, word = match.groups()
        value = _meaning(word, results) if string is None else _ESCAPED.sub(r"\1", string)
        if name is None:
            given.append(value)
        elif name in named:
            raise BadInput(f"The argument {name!r:.60} is given twice.")
        else:
            named[name] = value
        at = match.end()
    return Instruction(command, given, named)


def _meaning(word: str, results: Sequence[Any]) -> Any:
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if word.startswith("&") and _INTEGER.fullmatch(word, 1):
        if not 0 <= int(word[1:]) < len(results):
            why = f"there are {len(results)} before this one, counted from &0; comments do not count"
            raise BadInput(f"{word} refers to no earlier instruction.", why=why)
        return results[int(word[1:])]
    if _INTEGER.fullmatch(word):
        return int(word)
    if _DECIMAL.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    raise BadInput(f"{word!r:.60} is not a usable number, a reference such as &0 or a string.")


def quoted(text: str) -> str:
    """Return a string as an argument."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
