"""Removal of files that no row names: pictures that never came to count, and halves that a kill left."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

PICTURE_FOLDERS = ("images", "references", "checks", "traces")  # the folders that this program alone writes
WRITTEN = (".png", ".webp", ".json", ".part")


def remove_unnamed_files(folder: Path, rows: Iterable[Mapping]) -> list[str]:
    """Remove the files of a results folder that no row names, and return their names in it.

    Called when everything is drawn. Files of other kinds are somebody else's, and stay.

    Args:
        rows: of every trial, check and reference, those that failed too.
    """
    named = set(_files(rows))
    gone = []
    for kind in PICTURE_FOLDERS:
        place = folder / kind
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            name = f"{kind}/{path.name}"
            if name not in named and path.suffix in WRITTEN and path.is_file():
                with suppress(FileNotFoundError):
                    path.unlink()
                gone.append(name)
    return gone


def _files(rows: Iterable[Mapping]) -> Iterator[str]:
    for row in rows:
        yield str(row["file"])
        if film := row.get("film"):
            yield str(film)
            yield str(PurePath(film).with_suffix(".json"))
