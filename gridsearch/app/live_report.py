"""The report of a run: written at its end, and rebuilt during it, so that it can be opened at any time.

During the run another process builds it from what is stored, at a low priority: because of Python's lock a
thread would stall the rendering at every step, and a failure there must not end the run.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridsearch.app.processes import start_python
from gridsearch.base.errors import GridsearchError

if TYPE_CHECKING:  # they import pandas, which a command that prints its help must not wait for
    from gridsearch.results.analysis.answer import Answer
    from gridsearch.results.results import Results

MIN_PAUSE = 30.0  # seconds from the end of one build to the beginning of the next
MAX_SHARE = 0.05  # of the time that is spent on building
NICE = 5  # of Unix's 19: rendering goes first, and the report is not starved where all cores render
NEWS = ("trial", "check")  # events after which the report would say something new
LOOKED_AT = (*NEWS, "step", "image")  # events at which a build may begin or end
BUILD = "import sys; from gridsearch.app.live_report import build_here; build_here(sys.argv[1])"


def write_results(folder: Path, sheets: bool = True) -> "tuple[Results, Answer | None]":
    """Write tables and report of a folder; return its results and their answer.

    Where no trial has ended the answer is None, and nothing is written.

    Raises:
        BadInput: the folder holds no study.
        RunFailed: the folder cannot be written to.
    """
    from gridsearch.report.build import build
    from gridsearch.results.results import load_results

    results = load_results(folder)
    return results, None if results.images.empty else build(results, sheets)


def build_here(folder: str) -> None:
    """Build the report, in the other process; the last line that it writes is the error, if any."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    try:
        write_results(Path(folder), sheets=False)
    except GridsearchError as error:
        sys.exit(" ".join(line.strip() for line in error.lines[:2]))


class LiveReport:
    """A search.listener.Listener that passes everything on to another one, and rebuilds the report.

    On exit a build in progress is ended: the final report is built by the caller.
    """

    def __init__(self, folder: Path, listener: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._listener, self._clock = folder, listener, clock
        self._process: subprocess.Popen | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  of the builds, one after another
        self._began = 0.0
        self._next = clock()  # a build may start from then on
        self._wanted = self._noted = False

    def __getattr__(self, name: str) -> Any:
        tell = getattr(self._listener, name)
        if name not in LOOKED_AT:
            return tell

        def tell_and_look(*facts: Any) -> None:
            tell(*facts)
            self._wanted |= name in NEWS
            self.look()

        return tell_and_look

    def __enter__(self) -> "LiveReport":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        self._errors.close()

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        self._listener.start(remaining, done, cases, references, about)
        if done:
            self._tell_best()  # until the first refresh, what was found before is the best
        self._wanted = bool(remaining and done)
        self.look()

    def look(self) -> None:
        """Finish a build whose process has ended; begin one where there is something new and it is time."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            self._end((said or [f"it exited with code {code}"])[-1] if code else None)
        if self._process is None and self._wanted and self._clock() >= self._next:
            self._begin()

    def _begin(self) -> None:
        self._wanted, self._began = False, self._clock()
        self._errors.seek(0)
        self._errors.truncate()
        try:
            command, nothing = ["-c", BUILD, str(self._folder)], subprocess.DEVNULL
            self._process = start_python(command, {}, stdin=nothing, stdout=nothing, stderr=self._errors)
        except OSError as error:
            self._end(str(error))

    def _end(self, error: str | None) -> None:
        now = self._clock()
        self._next = now + max(MIN_PAUSE, (now - self._began) * (1 / MAX_SHARE - 1))
        if error is None:
            self._tell_best()
        elif not self._noted:
            self._listener.note(f"The report could not be refreshed; another attempt follows later: {error}")
        self._noted = error is not None

    def _tell_best(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # there is no image yet, or the file was removed
            self._listener.found(json.loads((self._folder / "best.json").read_bytes()))
