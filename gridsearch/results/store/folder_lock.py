"""The lock of a results folder: a file that names its holder, and whose date the holder keeps fresh.

The folder may lie on a network file system where the operating system's own locks do not reach another
machine. All file systems create a file for one process only, and date it.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import filelock
import psutil

from gridsearch.base.errors import Busy
from gridsearch.base.faults import file_fault
from gridsearch.base.files import age_of, write_atomic

LOCK_FILE = ".run.lock"
HOLDER_FILE = ".run.json"
# NFS may show a file's date up to a minute late (`acregmax` in nfs(5)), so a lease is longer than that.
LEASE, BEAT = 120.0, 15.0  # seconds


@contextlib.contextmanager
def locked(out: Path, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[Callable[[], bool]]:
    """Hold the lock of a folder, so that one run works in it, also where several machines see it.

    The lock of a process that died on this machine is taken over at once. One from another machine, or
    another container, is watched, as `on_wait` is told: it is taken over when it was not renewed for `LEASE`
    seconds.

    Yields:
        a function that says whether this process still has it: without a beat, another machine takes it.

    Raises:
        Busy: another run has it.
        RunFailed: the lock cannot be written.
    """
    lock = filelock.SoftFileLease(out / LOCK_FILE, timeout=0, lease_duration=LEASE, heartbeat_interval=BEAT)
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = _take(lock) or _take_over(out, lock, on_wait)
    except OSError as error:
        raise file_fault(error, out) from error
    if not taken:
        who = _holder(out)
        named = {"host", "pid", "since"} <= set(who)
        raise Busy(
            "Another run is working in this folder.",
            where=out,
            why=f"Process {who['pid']} on {who['host']}, since {who['since']}." if named else None,
            fix=f"Wait for it, or use --out. The lock of a run that died is free at once on its own machine, "
            f"and after {LEASE / 60:.0f} min on another.",
        )
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        who = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
        write_atomic(out / HOLDER_FILE, json.dumps(who))
        yield lambda: lock.compromise is None
    finally:
        if lock.compromise is None:
            (out / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def _take(lock: filelock.SoftFileLease) -> bool:
    for _ in range(2):  # where the file system cannot exchange two names, the first try only clears the way
        with contextlib.suppress(filelock.Timeout):
            lock.acquire()
            return True
    return False


def _take_over(out: Path, lock: filelock.SoftFileLease, on_wait: Callable[[str], None]) -> bool:
    """Watch the lock for a lease, and take it where its holder is silent."""
    who = _holder(out)
    here = who.get("host") == socket.gethostname() and lock.pid == who.get("pid")
    # a holder on this machine that does not renew its lock is stopped
    if (here and psutil.pid_exists(lock.pid)) or not (_is_empty(out) or age_of(out / LOCK_FILE) > 2 * BEAT):
        return False
    on_wait(
        f"The run that had this folder is silent; this one takes over in {LEASE:.0f} s unless it reports."
    )
    begun = empty_since = time.monotonic()
    while time.monotonic() < begun + LEASE + 2 * BEAT:
        if _take(lock):
            return True
        # A power cut may leave the file without its text, which every holder writes at once.
        if not _is_empty(out):
            empty_since = time.monotonic()
        elif time.monotonic() > empty_since + LEASE:
            lock.force_break()
        time.sleep(min(1.0, BEAT / 4))
    return False


def _holder(out: Path) -> dict:
    """Read the holder's note of itself; it is empty where there is none."""
    try:
        who = json.loads((out / HOLDER_FILE).read_bytes()[:1000])
    except (OSError, ValueError):
        return {}
    return who if isinstance(who, dict) else {}


def _is_empty(out: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return (out / LOCK_FILE).stat().st_size == 0
    return False
