"""Paths inside a results folder, from names that are stored in its study."""

from pathlib import Path, PurePath

from gridsearch.base.errors import BadInput


def path_in(folder: Path, name: str) -> Path | None:
    """Return the path of a file with a stored name; None where the name leads out of the results folder.

    Names are looked at, not what they resolve to: images/ may well be a link to a larger disk.
    """
    path = PurePath(name)
    if path.anchor or ".." in path.parts or "\0" in name:
        return None
    return folder / path


def picture_of(folder: Path, name: str) -> Path:
    """Return the path of a picture that is to be read; BadInput where it leads out of the results folder."""
    path = path_in(folder, name)
    if path is None:
        raise BadInput("A picture's name leads out of the results folder.", where=name)
    return path


KEPT = ".thumbnails"  # a folder in the results folder; may be removed at any time
