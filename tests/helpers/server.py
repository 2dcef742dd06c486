"""A database server of the tests' own, that can be stopped, started and killed in the middle of a run."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

USER = "gridsearch"
PASSWORD = "p@ss/w%rd: {it's}"  # a URL has to encode it, and `str.format` stumbles over it


class Server(ABC):
    """A server with its data in a temporary folder.

    Attributes:
        account: whom it runs as where the tests are root, which servers refuse.
        polite: the signal by which it cuts every connection and ends.
    """

    account: str
    polite: signal.Signals

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen | None = None
        # The server is told to end with its parent, by which Linux means the thread that began it.
        self._parent = ThreadPoolExecutor(1)
        self.port = free_port()

    @abstractmethod
    def url(self, database: str, password: str | None = PASSWORD) -> str:
        """As a user writes it; without a password where that is None."""

    @abstractmethod
    def make(self) -> None:
        """Make its data."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """What serves."""

    @abstractmethod
    def answers(self) -> bool: ...

    @abstractmethod
    def execute(self, statement: str) -> list[tuple]:
        """One statement, beside any transaction; the rows that it gives."""

    def start(self) -> None:
        """Returns when it answers; does nothing where it runs."""
        if self.process is not None:
            return
        with (self.folder / "log").open("ab") as log:
            self.process = self._parent.submit(
                subprocess.Popen,
                [*self.as_account(), *self.command()],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            ).result()
        until = time.monotonic() + 30
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail((self.folder / "log").read_text()[-2000:])
            time.sleep(0.03)

    def stop(self) -> None:
        """Every connection is cut."""
        self._end(lambda process: process.send_signal(self.polite))

    def crash(self) -> None:
        """Every process of the server is killed at once."""
        self._end(lambda process: os.killpg(process.pid, signal.SIGKILL))

    def _end(self, ending: Callable[[subprocess.Popen], None]) -> None:
        if self.process is None:
            return
        ending(self.process)
        self.process.wait(30)
        self.process = None

    def as_account(self) -> list[str]:
        """It ends with the tests, however those end."""
        tied = ["--pdeathsig=INT", "--"]
        if os.getuid():
            return ["setpriv", *tied] if shutil.which("setpriv") else []
        return ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups", *tied]

    def own(self, *paths: Path) -> None:
        if not os.getuid():
            for path in paths:
                shutil.chown(path, self.account, self.account)

    def run(self, *command: str | Path) -> None:
        done = subprocess.run([*self.as_account(), *command], capture_output=True, text=True, cwd="/")
        if done.returncode:
            pytest.fail(f"{command[0]}: {done.stdout} {done.stderr}")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def serving(kind: Callable[[Path], Server]) -> Iterator[Server]:
    """A server that is there for as long as it is needed."""
    # pytest's own folders are closed to other users
    folder = Path(tempfile.mkdtemp(prefix="gridsearch-server-"))
    server = kind(folder)
    try:
        server.own(folder)
        server.make()
        server.start()
        yield server
    finally:
        server.crash()
        shutil.rmtree(folder, ignore_errors=True)


def empty_database(server: Server, forced: str = "") -> Iterator[str]:
    """The URL of an empty database, for as long as it is needed; the server runs.

    Args:
        forced: how the server is told to drop one that is in use, where it has to be.
    """
    server.start()
    name = f"d{uuid.uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.start()
    server.execute(f"DROP DATABASE {name} {forced}")


def missing(what: str, how: str, required: str) -> None:
    """A test that cannot run is skipped, or fails where this variable is set."""
    (pytest.fail if os.environ.get(required) else pytest.skip)(f"there is no {what}: {how}")
