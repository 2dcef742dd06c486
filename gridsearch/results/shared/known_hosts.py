"""The databases that were named on this machine, as ssh keeps known hosts.

A folder says where its study lies. One that a stranger sent could have this machine's passwords brought to a
database of theirs, so a place that nobody named here is not asked.
"""

import contextlib
import os
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import cache_folder
from gridsearch.results.shared.url import ENVIRONMENT, redacted, without_password

NAME = "storages"  # in the cache folder: a place a line


def remember(url: str) -> None:
    """This place was named here. Where that cannot be kept, it is named anew each time."""
    place = without_password(url)
    if place in _known():
        return
    with contextlib.suppress(OSError, RuntimeError):
        file = cache_folder() / NAME
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(opened, f"{place}\n".encode())  # one write: of two that append at once neither is torn
        finally:
            os.close(opened)


def require_known(url: str, where: Path) -> None:
    """
    Args:
        where: the file that says so.

    Raises:
        BadInput: nobody named this place here.
    """
    if without_password(url) not in _known():
        raise BadInput(
            "This folder's study lies in a database that was never named on this machine.",
            where=where,
            why=f"it says {redacted(url)}.",
            fix=f"If you know that place, name it: {ENVIRONMENT}=URL before the command. It is remembered.",
        )


def _known() -> set[str]:
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError):
        return set((cache_folder() / NAME).read_text(encoding="utf-8").splitlines())
    return set()
