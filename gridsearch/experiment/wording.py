"""Plain words for what is wrong with a value: none of pydantic's own reach a person."""

import re
from collections.abc import Mapping
from typing import Any

# The types of pydantic's errors -> our words, with what the error's context says of the bounds.
_WORDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "give a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "give a number"),
    "finite_number": "give a finite number",
    **dict.fromkeys(("bool_parsing", "bool_type"), "give true or false"),
    **dict.fromkeys(("string_type", "path_type", "string_unicode"), "give a text in quotes"),
    "string_too_long": "give at most {max_length:,} characters",
    "string_too_short": "give at least {min_length} characters",
    "string_pattern_mismatch": "give letters, digits, _ and - only",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "multiple_of": "must be a multiple of {multiple_of:g}",
    "too_short": "give at least {min_length} of them, not {actual_length}",
    "too_long": "give at most {max_length} of them, not {actual_length}",
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"), "give a table, as in {{ key = 1 }}"
    ),
    **dict.fromkeys(("tuple_type", "list_type"), "give a list, as in [1, 2]"),
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "literal_error": "give one of {expected}",
    "union_tag_invalid": "give one value or a list of values",
    "union_tag_not_found": "give one value or a list of values",
}
_ANY = "this cannot be used"  # what no error here is known to say


def in_words(problem: Mapping[str, Any]) -> str:
    """Return one of a ValidationError's `errors()` as words that follow the name of its key."""
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    words = _WORDS.get(problem["type"], _ANY)
    return words.format(**problem.get("ctx", {}))


def place_in_words(place: tuple[str | int, ...]) -> str:
    """Return a problem's place: `merge[0].ratio`."""
    return re.sub(
        r"\.\[", "[", ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in place)
    )


def line_of(text: str, place: tuple[str | int, ...]) -> int | None:
    """Return the number of the line in a TOML text where the deepest key of a place is set, or its table.

    Told by how people write such files: a table's header, and below it a key a line.
    """
    names = [part for part in place if isinstance(part, str)]
    number = next((part for part in place if isinstance(part, int)), 0)
    found, depth, count, here = None, 0, {}, False  # type: ignore[var-annotated]
    table: list[str] = []
    for line_number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$", line):
            table = [part.strip(" \"'") for part in header[1].split(".")]
            count[header[1]] = count.get(header[1], -1) + 1
            here = names[: len(table)] == table and (
                not line.lstrip().startswith("[[") or count[header[1]] == number
            )
            if here and len(table) > depth:
                found, depth = line_number, len(table)
            continue
        if (here or not table) and (key := re.match(r"""\s*(["']?)([\w.-]+|[^"'=]+)\1\s*=""", line)):
            full = [*table, *(key[2].split(".") if not key[1] else [key[2]])]
            if names[: len(full)] == full and len(full) > depth:
                found, depth = line_number, len(full)
    return found
