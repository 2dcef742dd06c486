"""Paths inside a results folder, from names that are stored in its study."""

from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.checkpoint.families import PARTS
from gridsearch.experiment.tables import PATHS

# Keys of an experiment, and of what is known of its files, that hold a path, or several, beside `PATHS`.
PATH_KEYS = {*PARTS, "adapters", "config", "vocabulary", "features", "earlier"}


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


EXPERIMENT = "experiment.toml"  # the copy of a run's experiment, in its folder


def keep_experiment(file: Path, folder: Path) -> None:
    """Keep a copy of the experiment's file in the folder, for those whom the folder is given to.

    An experiment that was made by a program has no file, and is in best.json.
    """
    copy = folder / EXPERIMENT
    if file.suffix == copy.suffix and file.is_file() and not (copy.exists() and file.samefile(copy)):
        write_atomic(copy, file.read_bytes())


KEPT = ".thumbnails"  # a folder in the results folder; may be removed at any time


def without_folders(value: Any, is_path: bool = False) -> Any:
    """Return nested JSON values with file names in the place of paths, as they may be shown to others.

    The folders of a person's machine tell who that is, and are of no use elsewhere.
    """
    if isinstance(value, dict):
        return {
            key: without_folders(one, is_path or key in PATH_KEYS or str(key).split("_")[-1] in PATHS)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [without_folders(one, is_path) for one in value]
    return PureWindowsPath(value).name if is_path and isinstance(value, str) else value
