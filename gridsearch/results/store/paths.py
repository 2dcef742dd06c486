"""Paths inside a results folder, from names that are stored in its study."""

from pathlib import Path, PurePath

from gridsearch.base.errors import BadInput


def within(folder: Path, name: str) -> Path | None:
    """The file that a stored name means; None where the name leads out of its results folder.

    Names are looked at, not what they resolve to: images/ may well be a link to a larger disk.
    """
    path = PurePath(name)
    if path.anchor or ".." in path.parts or "\0" in name:
        return None
    return folder / path


def picture_of(folder: Path, name: str) -> Path:
    """The same of a picture that is read.

    Raises:
        BadInput: the name leads out of the results folder.
    """
    path = within(folder, name)
    if path is None:
        raise BadInput("A picture's name leads out of the results folder.", where=name)
    return path


KEPT = ".thumbnails"  # in the results folder; may be removed at any time
