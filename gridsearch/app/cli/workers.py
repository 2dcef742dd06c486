"""The workers of a run on this machine: a process for each GPU, or for each CPU core."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from gridsearch.app.processes import start_python
from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.machine import LocalWorkers, local_workers, process_name

MAX_EARLY_DEATHS = 5  # in a row, before a worker has rendered anything
ERROR_PREFIX = "error: "  # of the first line of an error
ERROR_CODES = (1, 2, 130)  # exit codes of errors that would come again, and of Ctrl-C
GRACE = 30.0  # seconds that a worker may take to end


@dataclass
class LocalWorker:
    """A worker's process, and how often in a row it died before it had rendered anything."""

    number: int
    process: subprocess.Popen
    name: str
    deaths: int


class WorkerProcesses:
    """The crew of a run on this machine, started at the leader's first look; see search.workers.look.Crew."""

    here = False

    def __init__(
        self, workers: LocalWorkers, experiment_file: Path, folder: Path, note: Callable[[str], None]
    ) -> None:
        self.size, self.note = workers.workers, note
        self.hands: dict[int, LocalWorker] = {}  # by their numbers, those that are alive
        self._environment = workers.environment()
        self._command = ["-m", "gridsearch", "worker", str(experiment_file.resolve())]
        self._command += ["--out", str(folder.resolve()), "--tied"]
        self._logs = folder / "logs"  # the output of each worker
        self._last_words: list[str] = []
        self._begun = False

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def look(self, heard: Collection[str]) -> list[str]:
        if not self._begun:
            self._begun = True
            self.hands = {number: self._started(number) for number in range(self.size)}
        dead = []
        for hand in [*self.hands.values()]:
            if (code := hand.process.poll()) is not None:
                dead.append(hand.name)
                self._died(hand, code, hand.name in heard)
        if self.size and not self.hands:
            raise _no_worker_left(self._last_words, self._logs)
        return dead

    def _died(self, hand: LocalWorker, code: int, drew: bool) -> None:
        """Replace a dead worker, unless it ended by an error, or has died too often before it rendered."""
        del self.hands[hand.number]
        self._last_words = _last_words(self._log(hand.number)) or [f"A worker {_how_it_ended(code)}."]
        if code == 0:  # the run is done
            return
        deaths = 0 if drew else hand.deaths + 1
        if code in ERROR_CODES or deaths == MAX_EARLY_DEATHS:
            self.note(f"Worker {hand.number + 1} will not be restarted: {' '.join(self._last_words)}")
            return
        self.note(f"Worker {hand.number + 1} {_how_it_ended(code)} and is being replaced.")
        self.hands[hand.number] = self._started(hand.number, deaths)

    def _started(self, number: int, deaths: int = 0) -> LocalWorker:
        self._logs.mkdir(parents=True, exist_ok=True)
        name = f"{process_name()} {number + 1}"
        with self._log(number).open("ab") as said:
            process = start_python(
                [*self._command, "--name", name],
                self._environment(number),
                stdin=subprocess.PIPE,  # closed when this process ends, in whatever way
                stdout=said,
                stderr=said,
            )
        return LocalWorker(number, process, name, deaths)

    def _log(self, number: int) -> Path:
        return self._logs / f"worker-{number + 1}.log"

    def stop(self) -> None:
        for hand in self.hands.values():
            hand.process.terminate()
        end = time.monotonic() + GRACE
        for hand in self.hands.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                hand.process.wait(max(end - time.monotonic(), 0))
            hand.process.kill()
            hand.process.wait()
            if hand.process.stdin:
                hand.process.stdin.close()
        self.hands.clear()


def _how_it_ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _last_words(log: Path) -> list[str]:
    """Return the lines of the error that a worker wrote last, or its last line."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 2000, 0))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    errors = [i for i, line in enumerate(lines) if line.startswith(ERROR_PREFIX)]
    return [line[:500] for line in (lines[errors[-1] :] if errors else lines[-1:]) if line]


def _no_worker_left(words: list[str], logs: Path) -> RunFailed:
    """Return the error of the worker that died last, or one that quotes its last line."""
    if not words[0].startswith(ERROR_PREFIX):
        fix = "Fix the cause (often too little memory: use fewer workers) and run the same command again."
        return RunFailed("No worker is left on this machine.", where=logs, why=" ".join(words), fix=fix)
    said = dict(line.split(": ", 1) for line in words[1:] if ": " in line)
    where, why, mend = map(said.get, ("where", "why", "fix"))
    return RunFailed(words[0].removeprefix(ERROR_PREFIX), where=where, why=why, fix=mend)


def hands_asked(asked: str | None, device: str, fewest: int = 0) -> LocalWorkers:
    """Return the workers that render on this machine, `fewest` or more.

    Args:
        asked: a number; "auto" or None for one per GPU or, without a GPU, one per CPU core.

    Raises:
        BadInput: `asked` is neither, or too small.
    """
    if asked in (None, "auto"):
        return local_workers(None, device)
    if not asked.isdecimal() or int(asked) < fewest:
        number = f"a number, at least {fewest}," if fewest else "a number"
        raise BadInput(f"--workers takes {number} or auto, not {asked!r}.")
    return local_workers(int(asked), device)
