"""The failures of a night, and the answer to each.

| failure | answer |
|---|---|
| memory is too small | half the batch, and half again; then the VAE in tiles; then the trial fails |
| the merge is not finite | the trial fails, before anything is drawn |
| an image is not finite | a finding and no failure: its verdict is `nan` |
| a plug-in scorer raises | the image has no value of it, which is said once |
| a file cannot be read or written | the trial fails |
| a model's file has changed or gone | the run stops; what it drew goes on when it is resumed |
| the disk is full | the same; before a trial begins, there must be room for its images |
| the database does not answer | it is asked again for some minutes, then the same |
| a worker dies | its trial goes back to the queue, once; then it fails |

A trial that fails keeps its reason and has no score. `IN_A_ROW` failures of one kind, one after the other,
stop the run: they would go on all night.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from gridsearch.base.errors import MustStop, RunFailed
from gridsearch.base.faults import FULL, fault_of, file_fault, is_want_of_memory
from gridsearch.base.words import size
from gridsearch.results import store

MEMORY, DIED, FILE = "memory", "died", "file"
FIXES = {
    MEMORY: "Close other programs, render smaller images, or use fewer workers on one GPU.",
    "not finite": "Search smaller ratios, or use a wider dtype.",
    FILE: "Check the disk and the network folder.",
    DIED: "See the workers' logs, and whether the system ended them for lack of memory.",
}
IN_A_ROW = 3
RESERVED_BYTES = 8_000_000  # bytes that stay free for the database, the tables and the report

Stamp = tuple[int, int]  # of a file: its size, and when it was changed


@contextlib.contextmanager
def named_failures(out: Path) -> Iterator[None]:
    """Turn errors of memory, disk and files into named failures.

    Raises:
        MustStop: the disk is full, or the study's database refuses to be written.
        RunFailed: the memory is too small, or a file cannot be read or written.
    """
    import torch  # not at the top: reading results needs no torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, torch.OutOfMemoryError) or is_want_of_memory(error)):
            raise
        what = "The memory is too small for one image at a time, with the VAE in tiles."
        why = next(iter(str(error).splitlines()), None)
        fix = "Close other programs, or render smaller images."
        raise RunFailed(what, why=why, fix=fix, kind=MEMORY) from error
    except OSError as error:
        if error.errno in FULL:
            raise _disk_full(out, str(error)) from error
        raise file_fault(error, out, FILE) from error
    except (StorageInternalError, SQLAlchemyError) as error:
        if fault := fault_of(error, out):
            raise MustStop(fault.what, where=fault.where, why=fault.why, fix=fault.fix) from error
        raise


def _disk_full(out: Path, why: str) -> MustStop:
    fix = "Free some space, and run the same command again to continue."
    return MustStop("The disk is full.", where=out, why=why, fix=fix)


def require_free(out: Path, needed: int) -> None:
    """Stop before a trial whose images would not fit on the disk, while the results can still be written.

    Raises:
        MustStop: so many bytes are not free.
    """
    free, needed = shutil.disk_usage(out).free, needed + RESERVED_BYTES
    if free < needed:
        raise _disk_full(out, f"{size(free)} are free, the next trial takes about {size(needed)}.")


def stamp_of(path: Path) -> Stamp:
    """Return the size and change time of a file, by which a later change is noticed."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def require_unchanged(files: Mapping[str, Path], before: Mapping[str, Stamp]) -> None:
    """Stop if a model's file has changed: a trial's images would be of two different models.

    Raises:
        MustStop: one is gone or is another now.
    """
    for name, path in files.items():
        try:
            if stamp_of(path) == before[name]:
                continue
            what, why = f"The file of {name} has changed while the run was going on.", None
            fix = "Restore the old file and run again, or use another --out for the new one."
        except OSError as error:
            what, why = f"The file of {name} is missing.", str(error)
            fix = "Restore it, then run the same command again."
        raise MustStop(what, where=path, why=why, fix=fix, kind=FILE)


def stop_after_failures(ended: Sequence[FrozenTrial]) -> None:
    """Stop a run whose last trials, in the order in which they ended, all failed of the same kind.

    Raises:
        RunFailed: it would go on so.
    """
    last = ended[-IN_A_ROW:]
    kinds = {store.kind_of(trial) for trial in last}
    if len(last) == IN_A_ROW and len(kinds) == 1 and all(t.state == TrialState.FAIL for t in last):
        why, fix = str(last[-1].user_attrs.get(store.REASON)), FIXES.get(kinds.pop() or "")
        raise RunFailed(f"{IN_A_ROW} trials in a row failed.", why=why, fix=fix)
