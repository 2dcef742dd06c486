"""The lines of sd-mecha's recipes (.mecha, format version 0.1.0): instructions and their arguments.

    version 0.1.0
    # a comment; it does not count
    model "models/a.safetensors" model_config="sdxl-sgm" merge_space="weight"
    model "models/b.safetensors" model_config="sdxl-sgm" merge_space="weight"
    merge "weighted_sum" &0 &1 alpha=0.3

`&0` is the result of the first instruction after the version. The last one's is the recipe's.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_capped

VERSION = "version 0.1.0"
MOST_RECIPE_BYTES = 1_000_000
MOST_INSTRUCTIONS = 10_000

# A whole argument: its name, where it has one, then a string (in which a backslash keeps the next character)
# or a bare word. What is passed over is never looked at again, so that a hostile line takes no more room.
_ARGUMENT = re.compile(r'\s*+(?:([^\s"=&]++)=)?(?:"((?:[^"\\]|\\.)*+)"|([^\s"=]++))(?=\s|$)')
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CONSTANTS = {"null": None, "true": True, "false": False}


@dataclass(frozen=True)
class ResultReference:
    """`&N`: the result of an earlier instruction."""

    index: int


Argument = str | int | float | bool | None | ResultReference


@dataclass(frozen=True)
class Instruction:
    """A line: a command and its arguments, `named` ones apart. `where` is its file and line number."""

    where: str
    command: str
    given: tuple[Argument, ...] = ()
    named: Mapping[str, Argument] = field(default_factory=dict)


def read_text(path: Path) -> str:
    """Read a recipe's text.

    Raises:
        BadInput: the file cannot be read, is too large for a recipe, or is no text.
    """
    try:
        return read_capped(path, MOST_RECIPE_BYTES, "recipe").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("This is not a recipe: it is not UTF-8 text.", where=path) from None


def instructions(text: str, source: object) -> Iterator[Instruction]:
    """Yield the instructions in order.

    Raises:
        BadInput: a line cannot be read; its number is said.
    """
    first, *lines = text.split("\n")
    if first.strip() != VERSION:
        raise BadInput(
            f"A recipe of sd-mecha begins with {VERSION!r}.",
            where=f"{source}, line 1",
            why=f"here it is {first.strip()!r:.60}",
            fix="Write it again with sd-mecha 1.1.",
        )
    found = 0
    for number, line in enumerate(lines, 2):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{source}, line {number}"
        if found == MOST_INSTRUCTIONS:
            raise BadInput(f"A recipe has at most {MOST_INSTRUCTIONS:,} instructions.", where=where)
        yield _instruction(line, where, found)
        found += 1
    if not found:
        raise BadInput("The recipe is empty.", where=source)


def _instruction(line: str, where: str, results: int) -> Instruction:
    command, *_ = line.split(None, 1)
    given: list[Argument] = []
    named: dict[str, Argument] = {}
    at = len(command)
    while at < len(line):
        match = _ARGUMENT.match(line, at)
        if not match:
            raise _unreadable(line[at:].strip(), where)
        name, string, word = match.groups()
        value = _word(word, where, results) if string is None else re.sub(r"\\(.)", r"\1", string)
        if name is None:
            given.append(value)
        elif name in named:
            raise BadInput(f"The argument {name!r:.60} is given twice.", where=where)
        else:
            named[name] = value
        at = match.end()
    return Instruction(where, command, tuple(given), named)


def _unreadable(rest: str, where: str) -> BadInput:
    if re.sub(r"\\.", "", rest).count('"') % 2:
        return BadInput("A quote is not closed.", where=where)
    return BadInput(f"This cannot be read: {rest!r:.60}", where=where)


def _word(word: str, where: str, results: int) -> Argument:
    """Return the value of an argument without quotes."""
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if word.startswith("&") and _INTEGER.fullmatch(word, 1):
        index = int(word[1:])
        if not 0 <= index < results:
            raise BadInput(
                f"{word} means no earlier instruction.",
                where=where,
                why=f"there are {results} before this one, counted from &0; comments do not count",
            )
        return ResultReference(index)
    if _INTEGER.fullmatch(word):
        return int(word)
    if _DECIMAL.fullmatch(word) and math.isfinite(number := float(word)):
        return number
    raise BadInput(f"{word!r:.60} is not a usable number, a reference such as &0 or a string.", where=where)


def quoted(text: str) -> str:
    """Return a string as an argument."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
