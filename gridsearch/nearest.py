"""The nearest known name to a misspelt one."""

import difflib
from collections.abc import Collection

LONGEST = 100  # characters that are compared


def nearest(name: object, known: Collection[str]) -> str:
    """The most similar of the known names."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, str(name)[:LONGEST], other).ratio())
