"""Real workers with a renderer that sleeps: they merge, judge, write and tell, and only draw nothing."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

import gridsearch.search.trial.setup
import gridsearch.search.trial.trial
from benchmarks.quiet import Quiet
from benchmarks.workers.counting import counting
from gridsearch.base.errors import RunFailed
from gridsearch.experiment.experiment import load_experiment
from gridsearch.render.cases import Case
from gridsearch.render.draw import Rendered
from gridsearch.render.watch import Trace
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.search.workers import worker

IMAGE = 1.0  # seconds
READY = 120.0  # seconds within which all workers must have loaded
ENDED = 60.0  # seconds within which all must have ended
# Every worker is a process of its own; what they import is imported once.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def sleep_and_draw(_: Any, cases: Sequence[Case], sampling: Any, *__: Any) -> Iterator[Rendered]:
    """In the place of `render.draw.draw`: a second for each picture, which is small and all noise."""
    trace = Trace(*(np.full(3, value) for value in (1.0, 0.0, 1.0, 0.9)), finite=np.full(3, True))
    for case in cases:
        time.sleep(IMAGE)
        noise = np.random.default_rng(case.seed).integers(0, 255, (sampling.height, sampling.width, 3))
        yield Rendered(case, noise.astype(np.uint8), True, IMAGE, trace, 3, None, None)


def draw_for_a_run(file: Path, out: Path, url: str | None, name: str, ready: Any, said: Any) -> None:
    """A worker's whole life; into `said` it puts its transactions and its seconds of a processor.

    Args:
        ready: released once all is loaded.
    """
    counted = counting()
    load = worker.prepare_and_load

    began = 0.0

    def loaded(*arguments: Any) -> Any:
        nonlocal began
        prepared = load(*arguments)
        counted.transactions, began = 0, time.process_time()
        ready.release()
        return prepared

    worker.prepare_and_load = loaded
    gridsearch.search.trial.trial.draw = gridsearch.search.trial.setup.draw = sleep_and_draw
    with using(url), contextlib.suppress(RunFailed):
        worker.work(load_experiment(file), file, out, name, Quiet())
    said.put((counted.transactions, time.process_time() - began))


@contextlib.contextmanager
def using(url: str | None) -> Iterator[None]:
    """The address of the study's database is where a command would put it."""
    before = os.environ.pop(STORAGE_VARIABLE, None)
    if url:
        os.environ[STORAGE_VARIABLE] = url
    try:
        yield
    finally:
        os.environ.pop(STORAGE_VARIABLE, None)
        if before:
            os.environ[STORAGE_VARIABLE] = before


@dataclass
class Crew:
    """See search.lead.Crew. Nothing is drawn before all are ready, so that no loading is timed.

    Attributes:
        said: what each worker counted, once all have ended.
    """

    file: Path
    out: Path
    url: str | None
    size: int
    said: list[tuple[int, float]] = field(default_factory=list)
    processes: list[BaseProcess] = field(default_factory=list)

    def look(self, heard: Collection[str]) -> list[str]:
        if not self.processes:
            self._begin()
        if any(process.exitcode for process in self.processes):
            raise RunFailed("A worker died.")
        return []

    def _begin(self) -> None:
        ready, self._said = PROCESSES.Semaphore(0), PROCESSES.Queue()
        for number in range(self.size):
            told = (self.file, self.out, self.url, f"worker {number}", ready, self._said)
            self.processes.append(PROCESSES.Process(target=draw_for_a_run, args=told, daemon=True))
            self.processes[-1].start()
        for _ in range(self.size):
            if not ready.acquire(timeout=READY):
                raise RunFailed("The workers do not come up.")

    def stop(self) -> None:
        for _ in filter(lambda process: not process.exitcode, self.processes):
            self.said.append(self._said.get(timeout=ENDED))
        for process in self.processes:
            process.join(ENDED)
