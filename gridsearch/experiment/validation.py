"""What pydantic found wrong with a file, in words: what, where and how to mend it."""

import re
from collections.abc import Mapping

import pydantic

from gridsearch.base.errors import BadInput, nearest
from gridsearch.experiment.steps import KINDS, METHODS
from gridsearch.experiment.values import Range, Table

_HINTS = {
    "prompt": 'Add at least one: [[prompt]] with text = "..." and seeds = [1, 2].',
    "merge": 'Add [[merge]] with models = ["a", "b"] and ratio = { low = 0.0, high = 1.0, step = 0.05 }.',
    "models": 'Add [models] with a = "path/to/a.safetensors" and b = "path/to/b.safetensors".',
    "name": 'Give the experiment a name of letters, digits, "." , "_" or "-": it names the results folder.',
}
_TAGS = ("value", "range", "list", "number", "blocks")  # of the unions of values: no keys of the file


def bad_key(error: pydantic.ValidationError, source: object, tables: Mapping[str, type[Table]]) -> BadInput:
    """The first problem in words; the rest are counted.

    Args:
        tables: the file's tables by name, itself under "".
    """
    # A misspelt key is also a missing one: name the misspelling. A bad item makes its list "too short" too.
    problems = sorted(
        error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden"
    )
    problems = [p for p in problems if p["type"] != "too_short"] or problems
    first = problems[0]
    loc = _keys(first["loc"])
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc).replace(".[", "[")
    more = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _known_keys(first["loc"][:-1], tables)
        fix = f"The nearest known key is {nearest(loc[-1], known)!r}."
        return BadInput(f"Unknown key {key!r:.200}{more}.", where=source, fix=fix)
    if kind == "missing":
        return BadInput(f"The key {key!r} is missing{more}.", where=source, fix=_HINTS.get(key))
    if kind == "tuple_type":
        return BadInput(f"{key}: give a list, as in [1, 2], got {first['input']!r:.60}{more}.", where=source)
    if kind == "union_tag_invalid" and loc[0] == "merge" and len(loc) == 2:
        method = str(first["ctx"]["tag"])
        fix = f"The nearest one is {nearest(method, METHODS)!r}; there are {', '.join(METHODS)}."
        return BadInput(f"{key}.method: {method!r:.60} is no merge method{more}.", where=source, fix=fix)
    if kind == "union_tag_invalid":
        return BadInput(f"{key}: give one value or a list of values{more}.", where=source)
    if kind == "literal_error":
        known = re.findall("'([^']*)'", first["ctx"]["expected"])
        fix = f"The nearest one is {nearest(first['input'], known)!r}; there are {', '.join(known)}."
        return BadInput(f"{key}: there is no {first['input']!r:.60}{more}.", where=source, fix=fix)
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, Table)) else f", got {first['input']!r:.60}"
    what = f"{key}: {message}{given}{more}." if key else f"{message}{more}."
    return BadInput(what[0].upper() + what[1:] if not key else what, where=source, fix=_HINTS.get(key))


def _keys(loc: tuple[str | int, ...]) -> list[str | int]:
    """A problem's place as the file has it, without pydantic's tags."""
    if loc[:1] == ("merge",):
        return [part for i, part in enumerate(loc) if part not in _TAGS and not (i == 2 and part in KINDS)]
    return [part for part in loc if part not in _TAGS or loc[0] in ("models", "adapters")]


def _known_keys(loc: tuple[str | int, ...], tables: Mapping[str, type[Table]]) -> list[str]:
    """The keys that the table at this place may have."""
    if loc and loc[-1] == "range":
        return list(Range.model_fields)
    if len(loc) == 3 and loc[0] == "merge":
        return list(KINDS[loc[2]].model_fields)
    named = ".".join(part for part in loc if isinstance(part, str))
    return list((tables.get(named) or tables[str(loc[0])]).model_fields)
