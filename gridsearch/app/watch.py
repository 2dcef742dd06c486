"""A run that is watched: its state in the folder, a word where it makes no progress, a command at its end."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from gridsearch.app.run_state import EVERY, Ending, RunState, is_quiet, workers_text, write_state
from gridsearch.app.terminal.live_view import Pace
from gridsearch.base.errors import GridsearchError
from gridsearch.base.words import duration

LONG = 600.0  # seconds without progress that are worth a word, unless the run has had longer gaps before
GAPS = 10  # times the longest gap so far
NOTIFY_SECONDS = 60.0  # that the command may take
PROGRESS = ("step", "image", "reference", "trial", "check", "hashing", "reading")


class Watched:
    """A search.listener.Listener that passes everything on to another one, and keeps the run's state.

    Nothing is written before the run has begun, when it has the folder's lock.

    Args:
        on_stall: called with a sentence when the run has made no progress for long.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        listener: Any,
        on_stall: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._name, self._listener = folder, name, listener
        self._on_stall, self._clock = on_stall, clock
        self._since = datetime.now().astimezone().isoformat(timespec="seconds")
        self._pace, self._workers = Pace(clock), list[dict[str, Any]]()
        self._begun, self._over = False, threading.Event()
        self._done = self._left = self._images = 0
        self._about, self._doing, self._heard = False, "beginning", "its beginning"
        self._last, self._longest = clock(), 0.0
        self._stall: str | None = None
        self._lock = threading.Lock()  # the last state is written after all others

    def __getattr__(self, name: str) -> Any:
        tell = getattr(self._listener, name)
        if name not in PROGRESS:
            return tell

        def tell_and_hear(*facts: Any) -> Any:
            self._hear(name, facts)
            return tell(*facts)

        return tell_and_hear

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: object) -> None:
        self._over.set()
        ended: Ending = "done" if error is None else "failed"
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            ended = "stopped"
        failure = str(error) if isinstance(error, GridsearchError) else kind.__name__ if kind else None
        if self._begun:
            self._write(ended, failure if ended == "failed" else None)

    def start(self, remaining: int, done: int, cases: int, references: int, about: bool) -> None:
        self._left, self._done, self._about, self._begun = remaining, done, about, True
        self._listener.start(remaining, done, cases, references, about)
        threading.Thread(target=self._keep, name="state", daemon=True).start()

    def note(self, text: str) -> None:
        self._heard = f'the note "{text}"'
        self._listener.note(text)

    def drawing(self, role: str, number: int, parameters: Mapping[str, Any], done: int, cases: int) -> None:
        self._doing = f"{role.replace('_', ' ')} {number}, from {done} of {cases} images on"
        self._listener.drawing(role, number, parameters, done, cases)

    def drawing_many(self, role: str, parameters: Sequence[Mapping], done: int, cases: int) -> None:
        self._doing = f"{len(parameters)} at once ({role.replace('_', ' ')}), {done} of {cases} images"
        self._listener.drawing_many(role, parameters, done, cases)

    def workers(self, workers: Sequence[Any]) -> None:
        self._workers = [asdict(worker) for worker in workers]
        self._listener.workers(workers)

    def _hear(self, event: str, facts: tuple) -> None:
        now = self._clock()
        self._longest = max(self._longest, now - self._last)
        self._last, self._stall, self._heard = now, None, _event_text(event, facts)
        if event in ("image", "reference"):
            self._images += 1
            self._pace.settle(1)
        elif event == "trial":
            self._done, self._left = self._done + 1, max(self._left - 1, 0)

    def _keep(self) -> None:
        while not self._over.is_set():
            self.look()
            self._over.wait(EVERY)

    def look(self) -> None:
        """Write the state, and say so where there has been no progress for long."""
        silence = self._clock() - self._last
        if self._stall is None and silence > max(LONG, GAPS * self._longest):
            self._stall = f"No progress for {duration(silence)}: {self._why()}."
            self._listener.note(self._stall)
            self._on_stall(self._stall)
        self._write(None, self._stall)

    def _why(self) -> str:
        if self._workers and all(map(is_quiet, self._workers)):
            return f"of {len(self._workers)} workers none has been heard from ({workers_text(self._workers)})"
        if not self._workers and self._doing.startswith("0 at once"):
            return "no worker has taken a trial; start one with `gridsearch worker`"
        return f"last heard was {self._heard}"

    def _write(self, ended: Ending | None, message: str | None) -> None:
        state = RunState(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            since=self._since,
            ended=ended,
            message=message,
            doing=self._doing,
            trials_done=self._done,
            trials_left=self._left,
            about=self._about,
            images=self._images,
            per_minute=self._pace.per_minute(),
            progress=self._clock() - self._last,
            workers=self._workers,
        )
        with self._lock:
            if ended is None and self._over.is_set():
                return
            with contextlib.suppress(OSError):  # a full disk stops the run by itself, and not its watch
                write_state(self._folder, state)
        self._listener.state(state)


def _event_text(event: str, facts: tuple) -> str:
    if event == "step":
        return f"step {facts[0]} of {facts[1]} of a batch"
    if event in ("hashing", "reading"):
        return f"the {event} of {facts[0]}"
    return f"trial {facts[0].number}'s end" if event == "trial" else f"a {event}"


# -- the command that is told of the end


def notify(command: str, event: str, facts: Mapping[str, str], note: Callable[[str], None]) -> None:
    """Run the user's command, which finds the event and the facts in `GRIDSEARCH_...` variables.

    The shell reads the command alone: no name or message is put into it. The database's address, in which
    there may be a password, is kept from it. What goes wrong is noted, and stops nothing.
    """
    from gridsearch.results.shared import STORAGE_VARIABLE

    told = {f"GRIDSEARCH_{name.upper()}": text for name, text in {"event": event, **facts}.items()}
    environment = {name: text.replace("\0", "") for name, text in {**os.environ, **told}.items()}
    environment.pop(STORAGE_VARIABLE, None)
    why = None
    try:
        done = subprocess.run(
            # Windows' shell would read what it puts in a variable's place again
            command if os.name != "nt" else [command],
            shell=os.name != "nt",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=NOTIFY_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    else:
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            why = " ".join([f"it ended with code {done.returncode}", *last])
    if why:
        note(f"The command of --notify failed: {why}")
