"""What this machine has to draw with, which part of it is this process's, and which processes are gone."""

import functools
import hashlib
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import psutil

_MEMORY = "GRIDSEARCH_MEMORY"  # bytes of this machine's memory that a worker may count on
_ON_ONE_GPU = "GRIDSEARCH_ON_ONE_GPU"  # workers that share its GPU


@dataclass(frozen=True)
class FreeMemory:
    """Bytes that are free for one process: of this machine's memory, and of its GPU's."""

    host: int
    gpu: int


@dataclass(frozen=True)
class LocalWorkers:
    """So many workers, on GPUs or else on the cores of a CPU.

    Attributes:
        gpus: as CUDA_VISIBLE_DEVICES names them.
    """

    workers: int
    gpus: tuple[str, ...]

    @property
    def per_gpu(self) -> int:
        """Workers that share a GPU, at most."""
        return ceil(self.workers / max(len(self.gpus), 1))

    @property
    def speedup(self) -> int:
        """How many times as much they draw as one: those that share a GPU, or the cores, draw no more."""
        return max(min(self.workers, len(self.gpus)), 1)

    def environment(self) -> Callable[[int], dict[str, str]]:
        """What parts the worker of a number from the others: a GPU, or its share of the cores, and memory."""
        among = max(self.workers, 1)
        memory, cores = psutil.virtual_memory().available // among, max(cores_here() // among, 1)

        def parted(number: int) -> dict[str, str]:
            mine = {_MEMORY: str(memory), _ON_ONE_GPU: str(self.per_gpu)}
            if self.gpus:
                return mine | {"CUDA_VISIBLE_DEVICES": self.gpus[number % len(self.gpus)]}
            return mine | {"OMP_NUM_THREADS": str(cores), "OMP_WAIT_POLICY": "PASSIVE"}

        return parted


def local_workers(workers: int | None, device: str) -> LocalWorkers:
    """Workers of an experiment on this machine.

    Args:
        workers: how many; None for one a GPU, or one a core where there is none.
        device: of the experiment.
    """
    gpus = gpus_here() if device != "cpu" else ()
    return LocalWorkers(workers if workers is not None else len(gpus) or cores_here(), gpus)


def cores_here() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(one for one in named.split(",") if one) if torch.cuda.is_available() else ()
    return tuple(str(number) for number in range(torch.cuda.device_count()))


def free_memory(device: str, workers: int = 1, per_gpu: int = 1) -> FreeMemory:
    """What one process may take now.

    Args:
        device: "cuda" or "cpu".
        workers: among how many the memory is parted, where they are still to begin.
        per_gpu: among how many a GPU's is.
    """
    host = min(psutil.virtual_memory().available, int(os.environ.get(_MEMORY, 1 << 62)))
    if device != "cuda":
        return FreeMemory(host // workers, 0)
    import torch

    free, total = torch.cuda.mem_get_info()
    return FreeMemory(host // workers, min(free, total // int(os.environ.get(_ON_ONE_GPU, per_gpu))))


# -- processes


def process_name() -> str:
    """A name of this process that no other has, here or elsewhere, at any time."""
    return f"{socket.gethostname()} {_numbering()} {os.getpid()} {time.time_ns():x}"


def has_ended(name: str) -> bool:
    """Whether a process that had such a name was one of this machine's, and is no more.

    False of another machine's or another container's, of which nothing is known.
    """
    here = f"{socket.gethostname()} {_numbering()} "
    number = name.removeprefix(here).split(" ")[0]
    return name.startswith(here) and number.isdecimal() and not psutil.pid_exists(int(number[:18]))


@functools.cache
def _numbering() -> str:
    """Where numbers of processes are comparable: on one machine, from boot to boot, and in one container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        boot, numbers = f"{uuid.getnode():x}", 0
    return hashlib.sha256(f"{boot} {numbers}".encode()).hexdigest()[:8]
