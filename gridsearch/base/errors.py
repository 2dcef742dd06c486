"""The errors a user can mend: what happened, where, why, and how to fix it.

Everything else is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Collection


class GridsearchError(Exception):
    """A failure with a name. The command line prints it without a traceback.

    Args:
        what: one sentence, what is wrong.
        where: the file, key or place it was found in.
        why: the fact that makes it wrong, where the first sentence does not say it.
        fix: what the reader can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, why: str | None = None, fix: str | None = None):
        self.what, self.where, self.why, self.fix = what, where, why, fix
        labelled = (("where", where), ("why", why), ("fix", fix))
        self.lines = [what] + [f"  {label}: {text}" for label, text in labelled if text is not None]
        super().__init__("\n".join(self.lines))


class BadInput(GridsearchError):
    """Something the user gave cannot be used: a file, a key, a value. Nothing was written."""

    exit_code = 2


class RunFailed(GridsearchError):
    """The run started and could not go on.

    Args:
        kind: what failed, in one of the words of `failures`: failures of one kind in a row stop a run.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        why: str | None = None,
        fix: str | None = None,
        kind: str = "other",
    ):
        super().__init__(what, where=where, why=why, fix=fix)
        self.kind = kind


class MustStop(RunFailed):
    """No trial could go better now: the run stops, and what it was drawing goes on when it is resumed."""


class StorageLost(MustStop):
    """The database has not answered for so long that the run gave up waiting."""


class Busy(RunFailed):
    """The run did not start: another one works in its folder. What is there is the other's."""


COMPARED_LENGTH = 100  # characters that are compared


def nearest(name: object, known: Collection[str]) -> str:
    """The most similar of the known names."""
    return max(
        known, key=lambda other: difflib.SequenceMatcher(None, str(name)[:COMPARED_LENGTH], other).ratio()
    )
