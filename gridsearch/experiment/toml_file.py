"""A TOML file read: its tables, or where it is no TOML, the lines and how to mend them."""

import re
import tomllib
from pathlib import Path
from typing import Any

from gridsearch.base.errors import SINGLE_QUOTES, BadInput
from gridsearch.base.files import near_name
from gridsearch.base.words import shorten
from gridsearch.checkpoint.header import ENDING, PICKLE_ENDINGS

MAX_EXPERIMENT_BYTES = 500_000  # many prompts are better kept in files of their own
MOST_MISTAKES = 10  # that are told of at once
# A key such as a.b.c, of a dozen parts: the reader's memory grows with the square of their number.
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DEEP = re.compile(rf"(?:^|[{{,])[ \t]*\[*[ \t]*(?:{_PART}[ \t]*\.[ \t]*){{12}}", re.MULTILINE)
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_AS_UTF8 = "Save it as UTF-8: in Notepad under Save as, Encoding; in PowerShell with -Encoding utf8."
_QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'""")
_RANGE = "A range is written { low = 0.0, high = 1.0, step = 0.05 }."
_TWO_QUOTES = """Text with " in it stands in 'single quotes', and text with ' in "double" ones."""

# What a line has outside of its quoted texts and its comment -> how to mend it. The first that fits is told.
MENDS: tuple[tuple[str, str], ...] = (
    (r"[“”„‟‘’‚«»]", 'Curly quotes do not count in TOML: type straight ones, "...".'),
    (
        r"[\u00a0\u2000-\u200f\u2028\u202f\u3000\ufeff]",
        "This line has an invisible character or a special space: type it again.",
    ),
    (
        r"[=,\[]\s*(True|False|TRUE|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)\s*($|[,\]}])",
        "Write true or false, in small letters and without quotes.",
    ),
    (
        r"=\s*(None|none|NONE|null|NULL|nil|undefined|~)\s*($|[,}])",
        "There is no empty value in TOML: leave the line out, and the default is used.",
    ),
    (
        r"^\s*[{}]\s*,?\s*$|^\s*\"\"\s*:",
        "This looks like JSON; an experiment is TOML, with key = value on a line each.",
    ),
    (r"^\s*- ", "This looks like YAML; an experiment is TOML, with key = value on a line each."),
    (r"^\s*[\w.-]+\s*:=?", "Put = between a key and its value, as in steps = 28."),
    (r"==|=>|<-", "Put a single = between a key and its value, as in steps = 28."),
    (r"^\s*(//|/\*|;|--|%|<!--)|\s(//|/\*)", "A comment begins with #."),
    (r";\s*$", "A line does not end with ; in TOML: delete it."),
    (r"=\s*(,|$)", "The value after = is missing: give one, or leave the line out."),
    (r"[=,\[]\s*[-+]?\.\d", "A number needs a digit before its point, as in 0.5."),
    (r"\d\.\s*($|[,\]}])", "A number needs a digit after its point, as in 5.0."),
    (r"\d\s*%", "Write a share as a number from 0 to 1: 0.5 for 50%."),
    (r"^\s*seeds\s*=\s*\d+\s*(\.\.+|-|–|to)\s*\d", "Each seed is written out: seeds = [1, 2, 3, 4]."),
    (r"=\s*[-+]?[\d.]+\s*(\.\.+|-|–|—|to|bis|~)\s*[\d.]+", _RANGE),
    (
        r"=\s*[-+]?\d+,\d+\s*($|\})",
        "A decimal number has a point, as in 4.5; several numbers go in square brackets, as in [4, 5].",
    ),
    (r"=\s*[-+]?0\d", "A number does not begin with 0, unless a point follows."),
    (r"=\s*[-+]?[\d.]+(\s*,\s*[-+]?[\d.]+)+", "Several values go in square brackets, as in [1, 2]."),
    (r"=\s*\(|=\s*<", "Several values go in square brackets, as in [1, 2]."),
    (r"=\s*\{\s*[\d.\"]", _RANGE),
    (r",\s*\}", "Delete the comma before }."),
    (r"=\s*\{[^}]*$|^[^{]*\}\s*,?$", "A table in { } goes on a single line; close it with }."),
    (r"=\s*\[[^\]]*\)|=\s*\[[^\]]*\}", "A list that begins with [ ends with ]."),
    (
        r"^\s*\[[^\]]*$|^\s*\[\[[^\]]*\]\s*$|^\s*\[[^\[\]]*\]\]\s*$|^\s*\[[^\]]*\]+\s*\S",
        "A table's name goes in brackets, alone on its line: [render], or [[prompt]] for one of several.",
    ),
    (r"=.*\"\"\s*\w|=\s*\"\".*\w\"\"", _TWO_QUOTES),
    (r"""=([^"']|"")*["'](?!")""", f"A closing quote is missing. {_TWO_QUOTES}"),
    (r"=\s*[-+]?[\w.]+\s*(px|GB|MB|min|h|s)\s*$", "Write a number without its unit and without quotes."),
    (r"=.*\S\s+[\w.-]+\s*=", "Put each key on a line of its own."),
    (r"[=,\[]\s*[-+]?[\w.]*[^\W\d]", 'Text goes in quotes, as in sampler = "euler".'),
    (r"=\s*[~./\\]", 'A path goes in quotes, as in "models/a.safetensors".'),
    (r"^\s*[\w.-]+(\s+[\w.-]+)+\s*=", "A key has no spaces: join its words with _, as in clip_skip."),
    (r"^\s*[\w.-]+(\s+\S+)+\s*$", "Put = between a key and its value, as in steps = 28."),
    (r"^[^=]*$", "A line is a table's name in brackets, or a key with its value, as in steps = 28."),
    (r"^\s*=", "A key is missing before =."),
)
# What the reader says, where that is plainer than the line -> how to mend it.
_SAID: tuple[tuple[str, str], ...] = (
    (r"Unescaped '\\'|Invalid hex value|Escaped character", SINGLE_QUOTES),
    (
        r"Cannot overwrite a value|Duplicate inline table key",
        "This key appears twice in its table: delete one of the lines.",
    ),
    (
        r"Cannot declare \('(\w+)'",
        "This table appears twice: put its lines together, or write [[prompt]] for several of a kind.",
    ),
    (
        r"Cannot (mutate|redefine)",
        "This name already has a value or a table in { }: write it in one place.",
    ),
    (r"Unclosed array", "A list that begins with [ ends with ]."),
    (r"Unclosed inline table", "A table in { } goes on a single line; close it with }."),
)


def read_toml(path: Path, what: str) -> tuple[dict[str, Any], str]:
    """Return the tables of a file, and its text; `what` is the file for people: "experiment file".

    Raises:
        BadInput: there is no such file, or it is no TOML; it names the lines and how to mend them.
    """
    try:
        if path.is_dir():
            raise BadInput(f"This is a folder, not an {what}.", where=path, fix="Name a .toml file in it.")
        if not path.is_file():
            fix = near_name(path) or "Check the path; gridsearch init writes a new one."
            raise BadInput(f"There is no such {what}.", where=path, fix=fix)
        with path.open("rb") as file:
            raw = file.read(MAX_EXPERIMENT_BYTES + 1)
    except OSError as error:
        raise BadInput(f"The {what} cannot be read.", where=path, why=error.strerror) from None
    if path.suffix.lower() in (ENDING, *PICKLE_ENDINGS):
        fix = "gridsearch init A B writes an experiment for two models or more."
        raise BadInput(f"This is a checkpoint, not an {what}.", where=path, fix=fix)
    if len(raw) > MAX_EXPERIMENT_BYTES:
        said = f"An {what} has at most {MAX_EXPERIMENT_BYTES:,} bytes."
        fix = 'Put the prompts into files of their own: [[prompt]] with file = "prompts.txt".'
        raise BadInput(said, where=path, fix=fix)
    text = _decoded(raw, path, what)
    try:
        if deep := _DEEP.search(text):
            raise BadInput("A key has too many parts.", where=path, why=deep[0].strip()[:40])
        data = tomllib.loads(text)
        _require_numbers(data)
    except RecursionError:
        raise BadInput(f"The {what} is nested too deeply.", where=path) from None
    except tomllib.TOMLDecodeError as error:
        raise _mistakes(text, error, path, what) from None
    except ValueError as error:  # of numbers with thousands of digits
        raise BadInput(f"A number in the {what} is too large.", where=path, why=str(error)[:200]) from None
    return data, text


def _decoded(raw: bytes, path: Path, what: str) -> str:
    if kind := _MARKS.get(raw[:2]) or ("UTF-16" if b"\0" in raw[:4] else None):
        raise BadInput(f"The {what} is {kind}, and TOML is UTF-8.", where=path, fix=_AS_UTF8)
    try:
        return raw.decode("utf-8-sig")  # Windows' Notepad puts a mark in front
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        said = f"The {what} is not UTF-8."
        raise BadInput(said, where=f"{path}, line {line}", fix=_AS_UTF8) from None


def _require_numbers(value: Any) -> None:
    """Refuse whole numbers beyond TOML's 64 bits; Python's grow without end, and so do their texts."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number does not fit into 64 bits")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _require_numbers(inner)


def _mistakes(text: str, error: tomllib.TOMLDecodeError, path: Path, what: str) -> BadInput:
    """Return an error of all lines that cannot be read: each is left out in turn, and the rest read again."""
    lines = text.split("\n")
    found: list[tuple[int, str, str]] = []
    said = str(error)
    while len(found) < MOST_MISTAKES:
        number = _line(said, lines)
        found.append((number, lines[number - 1].strip(), _mend(lines[number - 1], said)))
        lines[number - 1] = ""
        try:
            tomllib.loads("\n".join(lines))
        except (ValueError, RecursionError) as again:
            said = str(again)
            if _line(said, lines) <= number:  # what follows from the first mistake is none
                break
        else:
            break
    (number, line, mend), *others = found
    where = f"{path}, line {number}: {shorten(line, 60)}"
    also = [f"line {at}: {shorten(written, 40)} – {fix}" for at, written, fix in others]
    return BadInput(f"The {what} is not valid TOML.", where=where, fix=mend, also=also)


def _line(said: str, lines: list[str]) -> int:
    """Return the line, from 1, of what the reader says; at the end of a file, the one that is not closed."""
    if place := re.search(r"at line (\d+)", said):
        number = min(int(place[1]), len(lines))
        if (begun := _unclosed(lines[: number - 1])) and ("Unclosed" in said or lines[number - 1][:1] == "["):
            return begun
        return number if lines[number - 1].strip() or number == 1 else _before(lines, number)
    odd = (i for i, line in enumerate(lines, 1) if re.search("\"\"\"|'''", line))
    return _unclosed(lines) or next(odd, None) or _before(lines, len(lines))


def _unclosed(lines: list[str]) -> int | None:
    """Return the line on which the list begins that is still open at the end of these lines."""
    depth, begun = 0, None
    for number, line in enumerate(map(_bare, lines), 1):
        if depth == 0:
            begun = number if "=" in line else None
        depth += line.count("[") - line.count("]") if begun else 0
    return begun if depth > 0 else None


def _before(lines: list[str], number: int) -> int:
    """Return the last line up to this one that has anything in it."""
    return next((i for i in range(number, 0, -1) if lines[i - 1].strip()), number)


def _bare(line: str) -> str:
    """Return a line with its texts emptied and without its comment."""
    return _QUOTED.sub('""', line).partition("#")[0].rstrip()


def _mend(line: str, said: str) -> str:
    for pattern, mend in _SAID:
        if re.search(pattern, said):
            return mend
    bare = _bare(line)
    return next(
        (mend for pattern, mend in MENDS if re.search(pattern, bare)), f"The parser says: {said[:100]}."
    )
