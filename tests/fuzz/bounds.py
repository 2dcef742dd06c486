"""What holds of every input: it ends in a value or a named error, soon, in little memory, writing nothing."""

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings

from gridsearch.base.errors import GridsearchError

SECONDS = 5.0
WAIT = 60  # seconds on the clock, for a busy machine
BESIDES = 200_000_000  # bytes, beside twice the file
PAGE = os.sysconf("SC_PAGE_SIZE")
ALL = bool(os.environ.get("GRIDSEARCH_FUZZ"))  # as `make fuzz` sets it

_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)


def inputs(all_of_them: int, usually: int) -> settings:
    """How many inputs a test makes up: all in `make fuzz`, else a few."""
    return settings(
        max_examples=all_of_them if ALL else usually,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


@dataclass
class Worst:
    """What was seen of a test's inputs."""

    inputs: int = 0
    named: int = 0  # that ended in a named error
    seconds: float = 0.0
    bytes: int = 0  # of memory, beside twice the file

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs, {self.named:,} refused by name; the slowest took {self.seconds:.2f} s, "
            f"the largest {self.bytes / 1e6:.0f} MB beside twice its file"
        )


@dataclass(frozen=True)
class Bounds:
    """A folder that nothing may be written to, in which each input is tried; and what was seen of them."""

    folder: Path
    worst: Worst = field(default_factory=Worst)

    def hold(self, file: Path, visits: dict[str, Callable[[Path], object]], besides: int = BESIDES) -> None:
        """Try a file at every door, in so much memory beside twice the file."""
        size = file.stat().st_size
        before = sorted(self.folder.parent.rglob("*"))
        self.worst.inputs += 1
        for door, visit in visits.items():
            with within_memory(2 * size + besides):
                resident, began = _resident_reset(), time.process_time()
                with _at_most(WAIT):
                    try:
                        visit(file)
                    except GridsearchError:
                        self.worst.named += 1
                took = time.process_time() - began  # not that of others on the machine
                grown = _most_resident() - resident - 2 * size
            assert took < SECONDS, f"{door} took {took:.1f} s"
            assert grown < besides, f"{door} took {grown / 1e6:.0f} MB"
            self.worst.seconds = max(self.worst.seconds, took)
            self.worst.bytes = max(self.worst.bytes, grown)
        assert sorted(self.folder.parent.rglob("*")) == before, "something was written"


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """An end to what waits for ever, such as for a pipe that nobody writes to."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"nothing came back within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def within_memory(more: int) -> Iterator[None]:
    """Only so many bytes more may be asked of the system; else there is a MemoryError."""
    _trim(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    resource.setrlimit(resource.RLIMIT_AS, (taken + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _resident_reset() -> int:
    """The memory in use, in bytes, from which its highest mark is taken anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS:")


def _most_resident() -> int:
    return _status("VmHWM:")


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
