"""Writing files so that no reader, and no crash, ever sees half of one; home and cache folders."""

import errno
import os
from pathlib import Path

from gridsearch.base.errors import BadInput


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write beside `path`, flush to disk, rename over it, and flush the folder: a power cut takes neither.

    The part has a fixed name, so that what a kill leaves behind is overwritten by the next try. It is in
    the same folder because a rename is atomic only within one file system. Text is written as UTF-8 with
    `\\n` line ends, the same bytes on every machine.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb", opener=not_through_a_link) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk: those of new files, and of files that were renamed or removed."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows keeps names without being asked
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not do this for folders
            raise
    finally:
        os.close(opened)


def not_through_a_link(path: str, flags: int) -> int:
    """An `opener` that raises OSError where a link stands in place of the file, as in a stranger's folder."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def from_home(path: Path | str) -> Path:
    """Return the path with its `~` or `~name` replaced by the home folder.

    Raises:
        BadInput: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError) as error:  # the second of a name with a null in it
        raise BadInput("There is no such home folder.", where=path, fix="Write the full path.") from error


def cache_folder() -> Path:
    """Return this program's folder under `XDG_CACHE_HOME`, or under `~/.cache` where that is not set."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification has a relative path ignored.
    return (root if root.is_absolute() else Path.home() / ".cache") / "gridsearch"
