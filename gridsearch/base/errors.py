"""Errors that a user can mend, each with what happened, where, why, and how to fix it.

Everything else is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Collection, Sequence
from typing import Any

# The mend of a path or a prompt in an experiment file with a backslash in it.
SINGLE_QUOTES = (
    r"""In TOML a backslash within "..." begins an escape: use / or 'single quotes', as in 'D:\test'."""
)

MOST_OFFERED = 12  # names that a mend lists


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
    """Return the most similar of the known names."""
    start = str(name)[:100]  # comparing takes the square of the length
    return max(known, key=lambda other: difflib.SequenceMatcher(None, start, other).ratio())


def nearest_text(name: object, known: Collection[str]) -> str:
    """Return a sentence that offers the most similar of the known names, and all of them if they are few."""
    rest = f"; there are {', '.join(known)}" if len(known) <= MOST_OFFERED else f" of {len(known)}"
    return f"The nearest is {nearest(name, known)!r}{rest}."
