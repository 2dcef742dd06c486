"""The workers of a run on this machine: processes of their own, one for each GPU, or for each core."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gridsearch
from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.machine import LocalWorkers, local_workers, process_name

LOGS = "logs"  # in the results folder: what each worker said
TOO_SOON = 5  # deaths in a row before there was anything to draw
ERROR = "error: "  # how the first line of an error begins
ERRORS = (1, 2)  # exit codes of errors that another try would not mend
GRACE = 30.0  # seconds that a worker may take to end


@dataclass
class Hand:
    """A worker's place: its process, and how often it died in a row without having drawn."""

    number: int
    process: subprocess.Popen
    name: str
    deaths: int = 0


@dataclass
class Crew:
    """See search.lead.Crew.

    Attributes:
        command: what a worker runs, but for its name.
        environment: of the worker of a number.
        note: told when one has died.
    """

    command: list[str]
    environment: Callable[[int], Mapping[str, str]]
    size: int
    folder: Path
    note: Callable[[str], None]
    hands: dict[int, Hand] = field(default_factory=dict)
    last_words: list[str] = field(default_factory=list)
    begun: bool = False

    def look(self, heard: Collection[str]) -> list[str]:
        if not self.begun:
            self.begun = True
            for number in range(self.size):
                self.hands[number] = self._started(number)
        dead = []
        for hand in [*self.hands.values()]:
            if (code := hand.process.poll()) is not None:
                dead.append(hand.name)
                self._died(hand, code, hand.name in heard)
        if self.size and not self.hands:
            raise _none_left(self.last_words, self.folder / LOGS)
        return dead

    def _died(self, hand: Hand, code: int, drew: bool) -> None:
        """Another takes its place, unless it has said why it cannot go on, or none there comes to draw."""
        del self.hands[hand.number]
        self.last_words = _last_words(self._log(hand.number)) or [f"A worker {ended(code)}."]
        if code == 0:  # it was told that all is done
            return
        deaths = 0 if drew else hand.deaths + 1
        if code in ERRORS or deaths == TOO_SOON:
            self.note(f"Worker {hand.number + 1} is given up: {' '.join(self.last_words)}")
            return
        self.note(f"Worker {hand.number + 1} {ended(code)}; another takes its place.")
        self.hands[hand.number] = self._started(hand.number)
        self.hands[hand.number].deaths = deaths

    def _started(self, number: int) -> Hand:
        log = self._log(number)
        log.parent.mkdir(parents=True, exist_ok=True)
        name = f"{process_name()} {number + 1}"
        root = str(Path(gridsearch.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with log.open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gridsearch", *self.command, "--name", name, "--tied"],
                stdin=subprocess.PIPE,  # closed when this process ends, however that is
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": path, **self.environment(number)},
                start_new_session=True,  # Ctrl-C is for the run, which then ends them
            )
        return Hand(number, process, name)

    def _log(self, number: int) -> Path:
        return self.folder / LOGS / f"worker-{number + 1}.log"

    def stop(self) -> None:
        for hand in self.hands.values():
            hand.process.terminate()
        end = time.monotonic() + GRACE
        for hand in self.hands.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                hand.process.wait(max(end - time.monotonic(), 0))
            hand.process.kill()
            hand.process.wait()
            hand.process.stdin.close()
        self.hands.clear()


def ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _last_words(log: Path) -> list[str]:
    """The lines of the error that a worker wrote last, or the last line."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 2000, 0))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    errors = [i for i, line in enumerate(lines) if line.startswith(ERROR)]
    return [line[:500] for line in (lines[errors[-1] :] if errors else lines[-1:]) if line]


def _none_left(words: list[str], logs: Path) -> RunFailed:
    """Why nothing can be drawn here: what the last worker said was wrong is what is wrong."""
    if not words[0].startswith(ERROR):
        return RunFailed(
            "No worker is left on this machine.",
            where=logs,
            why=" ".join(words),
            fix="Mend that (what ends workers is often want of memory: use fewer), and give the same command"
            " again: it goes on from here.",
        )
    said = dict(line.split(": ", 1) for line in words[1:] if ": " in line)
    return RunFailed(
        words[0].removeprefix(ERROR), **{part: said.get(part) for part in ("where", "why", "fix")}
    )


def crew_of(hands: LocalWorkers, experiment_file: Path, folder: Path, listener: Any) -> Crew:
    """A crew of these workers."""
    command = ["worker", str(experiment_file.resolve()), "--out", str(folder.resolve())]
    return Crew(command, hands.environment(), hands.workers, folder, listener.note)


def hands_asked(asked: str | None, device: str, fewest: int = 0) -> LocalWorkers:
    """The workers that draw here.

    Args:
        asked: a number, or "auto" or None for one a GPU, or one a core of a CPU.
        device: of the experiment.
        fewest: the smallest number that makes sense.

    Raises:
        BadInput: it is neither, or too small.
    """
    if asked in (None, "auto"):
        return local_workers(None, device)
    if not asked.isdecimal() or int(asked) < fewest:
        least = f" from {fewest}" if fewest else ""
        raise BadInput(f"--workers takes a number{least} or auto, not {asked!r}.")
    return local_workers(int(asked), device)
