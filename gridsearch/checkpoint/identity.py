"""The identity of a file: its SHA-256, remembered between runs.

Hashing a checkpoint of 7 GB takes the better part of a minute, and most runs merge the files of yesterday.
"""

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gridsearch.base.files import cache_folder
from gridsearch.checkpoint.header import Checkpoint

# A file system may stamp two writes with the same time; one that is older than this has a time of its own.
# https://git-scm.com/docs/racy-git
SETTLED_NS = 2_000_000_000
SAMPLES, SAMPLE_BYTES = 33, 4096  # by which two files are compared

_TABLE = """CREATE TABLE IF NOT EXISTS files (
    device TEXT, inode TEXT, size TEXT, mtime_ns TEXT, ctime_ns TEXT, sha256 TEXT,
    PRIMARY KEY (device, inode, size, mtime_ns, ctime_ns)
)"""
_RECALL = """SELECT sha256 FROM files
WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"""
_REMEMBER = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)"


def sha256_of(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Return the file's SHA-256 in hex. `advance` is told the bytes of each block read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def cached_sha256(
    path: Path,
    advance: Callable[[int], None] = lambda _: None,
    read: Callable[[Path, Callable[[int], None]], str] | None = None,
) -> str:
    """Return the same, without reading a file again that has not changed since.

    What is remembered is in the user's cache folder, by the file's device, inode, size and both its times of
    change: a program may set that of the content back, and the inode's shows it.
    `advance` is told the whole size at once where the hash is known. `read` takes the hash where it is not.
    """
    before = path.stat()
    rows = _ask(_RECALL, *_state(before))
    if rows and re.fullmatch("[0-9a-f]{64}", str(rows[0][0])):
        advance(before.st_size)
        return str(rows[0][0])
    settled = time.time_ns() - before.st_mtime_ns >= SETTLED_NS
    sha256 = (read or sha256_of)(path, advance)
    if settled and _state(path.stat()) == _state(before):
        _ask(_REMEMBER, *_state(before), sha256)
    return sha256


def identity_of(
    checkpoint: Checkpoint, advance: Callable[[int], None] = lambda _: None
) -> tuple[str, dict[str, str]]:
    """Return the SHA-256 that a model is known by, and that of each of its files by its label.

    A single file's is its own, and the table is empty. That of several is the SHA-256 of their labels and
    hashes, a line each ("clip_l 9f86d0..."): a model is known by its content, wherever its files lie and
    whatever they are called.
    """
    if not checkpoint.parts:
        return cached_sha256(checkpoint.path, advance), {}
    known = {path: cached_sha256(path, advance) for path in checkpoint.files}
    parts = {part.label: known[part.path] for part in checkpoint.parts}
    lines = "".join(f"{label} {sha256}\n" for label, sha256 in parts.items())
    return hashlib.sha256(lines.encode()).hexdigest(), parts


def seem_equal(one: Path, other: Path) -> bool:
    """Return whether both are of one size, and equal in `SAMPLES` places."""
    size = one.stat().st_size
    if size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        for place in range(SAMPLES):
            for file in (first, second):
                file.seek(max(size - SAMPLE_BYTES, 0) * place // (SAMPLES - 1))
            if first.read(SAMPLE_BYTES) != second.read(SAMPLE_BYTES):
                return False
    return True


def short_hash(sha256: str) -> str:
    """Return the ten hex digits by which A1111 names a model."""
    return sha256[:10]


# -- the cache


def _state(stat: os.stat_result) -> tuple[str, ...]:
    """Return what changes when a file does. As text: an inode may be larger than SQLite's integers."""
    return tuple(map(str, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)))


def _ask(statement: str, *values: str) -> list[tuple]:
    """Run a statement on the cache. If anything is wrong with the cache, it holds nothing."""
    try:
        path = cache_folder() / "hashes.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _run(path, statement, values)
        except sqlite3.OperationalError:  # busy, read-only or full: left as it is
            return []
        except sqlite3.DatabaseError:  # damaged: begun anew
            for part in (path, path.with_name(path.name + "-journal")):
                part.unlink(missing_ok=True)
            return _run(path, statement, values)
    except (OSError, RuntimeError, sqlite3.Error):
        return []


def _run(path: Path, statement: str, values: tuple[str, ...]) -> list[tuple]:
    with closing(sqlite3.connect(path, timeout=2)) as database, database:
        database.execute(_TABLE)
        return database.execute(statement, values).fetchall()
