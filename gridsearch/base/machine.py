"""The machine: its cores, GPUs and free memory, how workers share them, and whether a process has ended."""

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
    """Bytes that one process may take: of this machine's memory, and of its GPU's."""

    host: int
    gpu: int


@dataclass(frozen=True)
class LocalWorkers:
    """The workers of a run on this machine, and the GPUs that they share; without any, it is the cores."""

    workers: int
    gpus: tuple[str, ...]  # as CUDA_VISIBLE_DEVICES names them

    @property
    def per_gpu(self) -> int:
        return ceil(self.workers / max(len(self.gpus), 1))

    @property
    def speedup(self) -> int:
        """Their speed as a multiple of one worker's; sharing a GPU, or the cores, gains nothing."""
        return max(min(self.workers, len(self.gpus)), 1)

    def environment(self) -> Callable[[int], dict[str, str]]:
        """Return a function from a worker's number to the environment that gives it its share."""
        among = max(self.workers, 1)
        memory, cores = psutil.virtual_memory().available // among, max(cores_here() // among, 1)

        def variables(number: int) -> dict[str, str]:
            mine = {_MEMORY: str(memory), _ON_ONE_GPU: str(self.per_gpu)}
            if self.gpus:
                return mine | {"CUDA_VISIBLE_DEVICES": self.gpus[number % len(self.gpus)]}
            return mine | {"OMP_NUM_THREADS": str(cores), "OMP_WAIT_POLICY": "PASSIVE"}

        return variables


def local_workers(workers: int | None, device: str) -> LocalWorkers:
    """Return the workers of an experiment; without a number, one per GPU, or one per core without GPUs."""
    gpus = gpus_here() if device != "cpu" else ()
    usual = len(gpus) or (1 if device != "cpu" and has_mac_gpu() else cores_here())
    return LocalWorkers(usual if workers is None else workers, gpus)


def has_mac_gpu() -> bool:
    """Return whether PyTorch can use the GPU of a Mac."""
    import torch

    return torch.backends.mps.is_available()


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(one for one in named.split(",") if one) if torch.cuda.is_available() else ()
    return tuple(str(number) for number in range(torch.cuda.device_count()))


def free_memory(device: str, workers: int = 1, per_gpu: int = 1) -> FreeMemory:
    """Return the memory that one process may take now, on "cuda" or "cpu".

    `workers` processes still to start share the machine's, and `per_gpu` of them a GPU's.
    """
    host = min(psutil.virtual_memory().available, int(os.environ.get(_MEMORY, 1 << 62)))
    if device != "cuda":
        return FreeMemory(host // workers, 0)
    import torch

    free, total = torch.cuda.mem_get_info()
    return FreeMemory(host // workers, min(free, total // int(os.environ.get(_ON_ONE_GPU, per_gpu))))


# -- processes


def process_name() -> str:
    """Return a name for this process that no other one ever has, on any machine."""
    return f"{socket.gethostname()} {_numbering()} {os.getpid()} {time.time_ns():x}"


def has_ended(name: str) -> bool:
    """Return whether the process of this name ran on this machine and has ended.

    False for those of other machines and containers, of which nothing is known.
    """
    here = f"{socket.gethostname()} {_numbering()} "
    number = name.removeprefix(here).split(" ")[0]
    return name.startswith(here) and number.isdecimal() and not psutil.pid_exists(int(number[:18]))


@functools.cache
def _numbering() -> str:
    """Return a digest of this boot and container, within which a process number means one process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        boot, numbers = f"{uuid.getnode():x}", 0
    return hashlib.sha256(f"{boot} {numbers}".encode()).hexdigest()[:8]
