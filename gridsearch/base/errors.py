"""Errors that a user can mend, each with what happened, where, why, and how to fix it.

Everything else is a bug and keeps its traceback.
"""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

# The mend of a path or a prompt in an experiment file with a backslash in it.
SINGLE_QUOTES = (
    r"""In TOML a backslash within "..." begins an escape: use / or 'single quotes', as in 'D:\test'."""
)

MOST_OFFERED = 14  # names that a mend lists
NEAR = 0.53  # of the letters: "fp16" is near "float16", and "resolution" is not near "freeu_version"


class GridsearchError(Exception):
    """A failure in words, which the command line prints without a traceback.

    Args:
        what: one sentence, what is wrong.
        where: the file, key or place in which it was found.
        why: the fact that makes it wrong, where the first sentence does not say it.
        fix: what the reader can do about it.
        also: other mistakes of the same input, a line each.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        why: str | None = None,
        fix: str | None = None,
        also: Sequence[str] = (),
    ):
        self.what, self.where, self.why, self.fix, self.also = what, where, why, fix, tuple(also)
        labelled = (("where", where), ("why", why), ("fix", fix), *(("also", one) for one in also))
        self.lines = [what] + [f"  {label}: {text}" for label, text in labelled if text is not None]
        super().__init__("\n".join(self.lines))


class BadInput(GridsearchError):
    """Input that cannot be used: a file, a key or a value. Nothing was written."""

    exit_code = 2


class RunFailed(GridsearchError):
    """A run that started and could not go on.

    Args:
        kind: what failed, in one of the words of `failures`: failures of one kind in a row stop a run.
    """

    def __init__(self, what: str, *, kind: str = "other", **said: Any):
        super().__init__(what, **said)
        self.kind = kind


class MustStop(RunFailed):
    """A failure that every further trial would meet: the run stops, and can be resumed where it was."""


class StorageLost(MustStop):
    """A database that has not answered for so long that the run gave up waiting."""


class Busy(RunFailed):
    """A run that did not start because another one works in its folder."""


def nearest(name: object, known: Collection[str]) -> str:
    """Return the most similar of the known names, capitals or not."""
    return max(known, key=lambda other: _likeness(name, other))


def _likeness(name: object, other: str) -> float:
    start = str(name)[:100].casefold()  # comparing takes the square of the length
    return difflib.SequenceMatcher(None, start, other.casefold()).ratio()


def nearest_key(name: str, known: Collection[str]) -> str:
    """Return a sentence that offers a key in the place of an unknown one, or says that none is like it."""
    close = nearest(name, known)
    if _is_near(name, close):
        return f"The nearest known key is {close!r}."
    if len(known) > MOST_OFFERED:
        return "No known key is like it."
    return f"The known keys are {', '.join(known)}."


def _is_near(name: object, other: str) -> bool:
    """Return whether one is likely to stand for the other: a slip of the pen, or the beginning of it."""
    short, long = sorted((re.sub(r"[\s_-]", "", str(one)[:100].casefold()) for one in (name, other)), key=len)
    return _likeness(name, other) >= NEAR or bool(short and long.startswith(short))


def nearest_text(name: object, known: Collection[str]) -> str:
    """Return a sentence that offers the most similar of the known names, and all of them if they are few.

    Where they are many, the most similar one is offered even if it is not near.
    """
    close, few = nearest(name, known), len(known) <= MOST_OFFERED
    if len(known) == 1:
        return f"There is only {close}."
    if few and not _is_near(name, close):
        return f"There are {', '.join(known)}."
    rest = f"; there are {', '.join(known)}" if few else f" of {len(known)}"
    return f"The nearest is {close!r}{rest}."
