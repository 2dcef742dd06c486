"""A run's memory and open files, which must not grow with the trials.

    python -m benchmarks.leaks [TRIALS]

One run of the toy, as `gridsearch run` does it, the live report included, of small and quick trials. At some
of them it is seen what the process has: memory (as it is, nothing is collected first), open files, threads,
and on a GPU the memory that tensors have there. It fails where the memory after the last trial is more than
5% over that after trial 50, or where more or fewer files are open.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.quiet import Quiet
from gridsearch.app.live_report import LiveReport
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.search.budget import Budget
from gridsearch.search.evaluate import Told
from gridsearch.search.run import run_experiment

TOY = Path(__file__).parent.parent / "experiments" / "toy"
TRIALS = 500
FIRST = 50  # by then all that is made once is made
GROWTH = 1.05
MIB = 2**20


@dataclass(frozen=True)
class Seen:
    """The memory and files of the process after so many trials.

    Attributes:
        memory: resident, in bytes.
        files: how many descriptors lead to what; sockets and pipes by their kind.
        gpu: bytes of tensors.
    """

    trials: int
    seconds: float
    memory: int
    files: Counter[str]
    threads: int
    gpu: int

    def row(self) -> str:
        numbers = (self.memory / MIB, sum(self.files.values()), self.threads, self.gpu / MIB)
        return "{:>6} {:>8.0f} {:>11.1f} {:>6} {:>8} {:>9.1f}".format(self.trials, self.seconds, *numbers)


HEAD = f"{'trial':>6} {'seconds':>8} {'memory MiB':>11} {'files':>6} {'threads':>8} {'GPU MiB':>9}"


def main(trials: int) -> int:
    """Print what there is at some trials, and what has grown; the exit code."""
    place = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "optuna"))
    print(f"{place}, {versions}", HEAD, sep="\n", flush=True)
    seen = watched(experiment(trials), moments(trials))
    first, last = next(one for one in seen if one.trials >= FIRST), seen[-1]
    growth = last.memory / first.memory
    print(f"memory after trial {last.trials}: {growth:.3f} of that after trial {first.trials}")
    for what, count in (last.files - first.files).items():
        print(f"  open, and not then: {what} ({count})")
    for what, count in (first.files - last.files).items():
        print(f"  open then, and not now: {what} ({count})")
    return int(growth > GROWTH or last.files.total() != first.files.total())


def moments(trials: int) -> set[int]:
    return {1, FIRST, trials, *range(100, trials, 100)}


def experiment(trials: int, device: str = "auto") -> Experiment:
    """The toy, in trials that take a moment each: two images, of two steps."""
    data = {
        "name": "leaks",
        "models": {name: str(TOY / f"{name}.safetensors") for name in ("base", "burnt")},
        "merge": [{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0}}],
        "render": {
            "prediction_type": "v_prediction",
            "config": str(TOY / "config"),
            "device": device,
            "width": 64,
            "height": 64,
            "steps": 2,
        },
        "score": {"references": ["base"]},
        "prompt": [{"text": "a circle", "seeds": [1, 2]}],
        "search": {"sampler": "random", "trials": trials},
    }
    return parse_experiment(data, TOY, "the benchmark")


@dataclass
class Watcher(Quiet):
    """Sees what the process has after some of the trials, and prints it."""

    moments: set[int]
    began: float = field(default_factory=time.perf_counter)
    told: int = 0
    seen: list[Seen] = field(default_factory=list)
    live: LiveReport | None = None

    def trial(self, _told: Told) -> None:
        self.told += 1
        if self.told in self.moments:
            settle(self.live)
            self.seen.append(look(self.told, time.perf_counter() - self.began))
            print(self.seen[-1].row(), flush=True)

    def found(self, _best: Any) -> None: ...


def watched(what: Experiment, moments: set[int]) -> list[Seen]:
    """The memory and files of the process at these moments of a run."""
    watcher = Watcher(moments)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with LiveReport(out, watcher) as live:
            watcher.live = live
            run_experiment(what, Path("leaks.toml"), out, Budget(), live)
    return watcher.seen


def settle(live: LiveReport | None) -> None:
    """Wait for a build that is under way: what it says goes into a file that is open so long."""
    if live is not None and live._process is not None:
        live._process.wait()
        live.look()


def look(trials: int, seconds: float) -> Seen:
    process = psutil.Process()
    gpu = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
    return Seen(trials, seconds, process.memory_info().rss, files_of(process), process.num_threads(), gpu)


def files_of(process: psutil.Process) -> Counter[str]:
    """Return what the descriptors lead to, as Linux says it; elsewhere how many they are."""
    links = Path("/proc") / str(process.pid) / "fd"
    if not links.is_dir():
        return Counter({"descriptors": process.num_handles() if psutil.WINDOWS else process.num_fds()})
    found: Counter[str] = Counter()
    for link in list(links.iterdir()):
        try:
            found[os.readlink(link).partition(":[")[0]] += 1
        except FileNotFoundError:  # the one that lists them
            continue
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS))
