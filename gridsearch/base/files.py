"""Files: written so that no crash leaves half of one, the near ones of a mistyped path; home, cache, data."""

import contextlib
import difflib
import errno
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gridsearch.base.errors import SINGLE_QUOTES, BadInput


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


def age_of(path: Path) -> float:
    """Return the seconds since a file was written, by the file server's clock: a new file has its time.

    In a folder that cannot be written it is this machine's clock. A file that is gone has no age, 0.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".time.") as now:
            time_now = os.fstat(now.fileno()).st_mtime
    except OSError:
        time_now = time.time()
    with contextlib.suppress(FileNotFoundError):
        return max(time_now - path.stat().st_mtime, 0.0)
    return 0.0


def not_through_a_link(path: str, flags: int) -> int:
    """An `opener` that raises OSError where a link stands in place of the file, as in a stranger's folder."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def read_capped(path: Path, most_bytes: int, what: str) -> bytes:
    """Return the content of a file that somebody else wrote; `what` is the file in a word.

    Raises:
        BadInput: it cannot be read, or is larger than such a file can be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise BadInput(f"The {what} cannot be read.", where=path, why=error.strerror) from None
    if len(content) > most_bytes:
        why = f"such a file has at most {most_bytes:,} bytes"
        raise BadInput(f"The {what} cannot be read.", where=path, why=why) from None
    return content


def read_json_object(path: Path, most_bytes: int, what: str) -> dict[str, Any]:
    """Return the JSON object in such a file; the errors are those of `read_capped`."""
    try:
        content, why = json.loads(read_capped(path, most_bytes, what)), "it is not a JSON object"
    except (ValueError, RecursionError) as error:
        content, why = None, f"it is not JSON: {error}"
    if not isinstance(content, dict):
        raise BadInput(f"The {what} cannot be read.", where=path, why=why, fix="Copy it again.")
    return content


def from_home(path: Path | str) -> Path:
    """Return the path with its `~` or `~name` replaced by the home folder; BadInput where there is none."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError) as error:  # the second of a name with a null in it
        raise BadInput("There is no such home folder.", where=path, fix="Write the full path.") from error


def cache_folder() -> Path:
    """Return this program's folder under `XDG_CACHE_HOME`, or under `~/.cache` where that is not set."""
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification has a relative path ignored.
    return (root if root.is_absolute() else Path.home() / ".cache") / "gridsearch"


def data_folder() -> Path:
    """Return the folder of what a user has made: under `XDG_DATA_HOME`, or where the system keeps such data.

    That is `~/.local/share`; on macOS `~/Library/Application Support`, on Windows `%LOCALAPPDATA%`.
    """
    root = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not root.is_absolute():
        root = Path.home() / ".local" / "share"
        if sys.platform == "darwin":
            root = Path.home() / "Library" / "Application Support"
        elif sys.platform == "win32":
            root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return root / "gridsearch"


MOST_NAMES = 5_000  # of a folder that a mistyped name is looked for in


def near_name(path: Path) -> str:
    """Return a sentence on the file that was probably meant by a path to none, or an empty text."""
    if not str(path).isprintable():  # "D:\\test" has a tab in it
        return SINGLE_QUOTES
    folder = path.parent
    try:
        if not folder.is_dir():
            close = difflib.get_close_matches(folder.name, _names_in(folder.parent), 1)
            return f"There is no folder {folder.name}; did you mean {close[0]}?" if close else ""
        names = _names_in(folder)
    except OSError:
        return ""
    same = [name for name in names if Path(name).suffix.lower() == path.suffix.lower()]
    if close := [name for name in names if Path(name).stem in (path.stem, path.name)][:1] or (
        difflib.get_close_matches(path.name, names, 1)
    ):
        return f"Did you mean {folder / close[0]}?"
    return f"There is {folder / same[0]}." if len(same) == 1 and path.suffix else ""


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in itertools.islice(folder.iterdir(), MOST_NAMES)]
