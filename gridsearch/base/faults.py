"""The faults of a machine in words: what the system, SQLite or PostgreSQL refuses, and how to mend it.

The memory that is too small, the full disk, the file that this user may not write: none of them is a bug.
"""

import errno
import math
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from gridsearch.base.errors import RunFailed

FULL = (errno.ENOSPC, errno.EDQUOT)
FEW_FILES = 256  # a system's usual limit is 1,024 or more
LEAST_FILES = 16  # with 12 even an error could not be shown, with 14 every command ended well
LEAST_SPACE = (
    1_000_000_000  # bytes of addresses: with 0.6 GB torch 2.13 could not be loaded, with 1.0 it could
)
_AGAIN = "then give the same command again"

# The error numbers of each fault, the fault, and how it is mended.
_FAULTS = (
    (FULL, "The disk is full.", f"Free some space, {_AGAIN}."),
    (
        (errno.EROFS,),
        "The disk can only be read.",
        "Name another folder, or have the disk mounted for writing.",
    ),
    (
        (errno.EACCES, errno.EPERM),
        "This user has no right to a file or its folder.",
        "Give the command as the user whose folder it is, change its rights, or name another folder.",
    ),
    (
        (errno.EMFILE, errno.ENFILE),
        "Too many files are open.",
        f"Raise the limit, for example with `ulimit -n 4096`, {_AGAIN}.",
    ),
    (
        (errno.EFBIG,),
        "A file has reached the size that is allowed.",
        "Raise the limit with `ulimit -f unlimited`, or use another disk: on FAT32 a file ends at 4 GB.",
    ),
    (
        (errno.ENOMEM, errno.EAGAIN),
        "The memory is too small.",
        f"Close other programs, raise the limit (`ulimit -v`, `ulimit -u`), {_AGAIN}.",
    ),
    (
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO),
        "The disk, or the network folder, does not answer.",
        f"Check its cable, mount or server, {_AGAIN}.",
    ),
)
_OTHER = ("The system refused to do something with a file.", f"Check the file and its disk, {_AGAIN}.")

# What SQLite says of the machine, not of the file (https://www.sqlite.org/rescode.html), as the system would.
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,  # or too many are open
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_IOERR: errno.EIO,
}
# What PostgreSQL says of its own (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_POSTGRES = {
    "25006": ("The database can only be read.", f"Make it take writes (it may be a standby), {_AGAIN}."),
    "53100": ("The database's disk is full.", f"Free some space on the server, {_AGAIN}."),
    "42501": ("The database refuses this user.", "Have its owner grant the right, or use another database."),
}
_MEMORY_WORDS = (
    "can't allocate memory",  # torch's allocator on a CPU
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "Cannot allocate memory",  # a library that is loaded
    "failed to map segment",
    "can't start new thread",  # its stack has no room, or the user has too many
    "MPS backend out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "out of memory",
)


def fault_of(error: BaseException, place: object = None) -> RunFailed | None:
    """Return an error of the machine in words; None where nothing says that it is the machine's.

    Args:
        place: the file, folder or command in which it was met, where the error itself names none.
    """
    for cause in _causes(error):
        if is_want_of_memory(cause):
            return _fault(errno.ENOMEM, cause, place)
        if isinstance(cause, OSError):
            return file_fault(cause, place)
        if isinstance(cause, sqlite3.Error):
            code = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
            if code is not None:
                return _fault(_nearer(code, place), cause, place)
        if (state := getattr(cause, "sqlstate", None)) in _POSTGRES:
            what, fix = _POSTGRES[str(state)]
            return RunFailed(what, where=place, why=_in_a_line(cause), fix=fix)
    return None


def file_fault(error: OSError, place: object, kind: str = "other") -> RunFailed:
    """Return what the system said of a file in words; `kind` is that of `RunFailed`."""
    return _fault(error.errno, error, error.filename or place, kind)


def is_want_of_memory(error: BaseException) -> bool:
    """Return whether with more memory, or a smaller batch, this might have succeeded."""
    said = str(error) if isinstance(error, (RuntimeError, ImportError)) else ""
    return isinstance(error, MemoryError) or any(words in said for words in _MEMORY_WORDS)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what libraries name as its cause. One that was being handled by chance is none."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = getattr(following, "orig", None) or following.__cause__


def _fault(code: int | None, error: BaseException, place: object, kind: str = "other") -> RunFailed:
    what, fix = next(((what, fix) for codes, what, fix in _FAULTS if code in codes), _OTHER)
    return RunFailed(what, where=place, why=_in_a_line(error), fix=fix, kind=kind)


def _nearer(code: int, place: object) -> int:
    """Return what lies behind an error of SQLite, which calls much "disk I/O error" and "unable to open"."""
    if code not in (errno.EIO, errno.EACCES):
        return code
    there = place if isinstance(place, Path) and place.exists() else None
    if there and not shutil.disk_usage(there).free:
        return errno.ENOSPC
    if code == errno.EACCES and there and not os.access(there, os.R_OK | os.W_OK):
        return errno.EACCES
    if limit_of("NOFILE") < FEW_FILES:
        return errno.EMFILE
    return errno.EIO if limit_of("FSIZE") == math.inf else errno.EFBIG


def limit_of(what: str) -> float:
    """Return a limit of this process, which the shell's `ulimit` sets: "NOFILE", "FSIZE" or "AS"."""
    if sys.platform == "win32":
        return math.inf
    import resource

    soft = resource.getrlimit(getattr(resource, f"RLIMIT_{what}"))[0]
    return math.inf if soft == resource.RLIM_INFINITY else soft


def require_open_files() -> None:
    """Raise RunFailed where so few files may be open that nothing works, not even the import of a module."""
    if (limit := limit_of("NOFILE")) < LEAST_FILES:
        fix = "Raise the limit, for example with `ulimit -n 4096`."
        raise RunFailed(
            "Too few files may be open.", where="ulimit -n", why=f"The limit is {limit}.", fix=fix
        )


def require_address_space() -> None:
    """Raise RunFailed where torch could not even be loaded: it would end the process without a word."""
    if (limit := limit_of("AS")) < LEAST_SPACE:
        why = f"The limit is {limit / 1e9:.1f} GB; to load torch alone takes {LEAST_SPACE / 1e9:.1f} GB."
        fix = "Raise the limit, for example with `ulimit -v unlimited`."
        raise RunFailed("This process may address too little memory.", where="ulimit -v", why=why, fix=fix)


def _in_a_line(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((said or type(error).__name__).split())[:300]
