"""Processes that begin at once: copies of one that has imported what is heavy, and has done nothing else.

A process that draws takes seconds to import torch and diffusers. Python's fork server does that once for each
process of the tests; what it forks is a process like any other, to be interrupted, killed and waited for. How
`python -m gridsearch` begins is not in it; tests/app/cli/test_cli.py has that.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import IO, Any

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["tests.helpers.heavy"])


class Process:
    """A function run in a process of its own, as subprocess.Popen would run a program.

    `streams` are what it has as stdin (0), stdout (1) and stderr (2): descriptors of this process. Where
    stdout is not among them, it is a pipe, whose other end is `stdout` here.
    """

    def __init__(
        self,
        target: Callable[..., object],
        *arguments: Any,
        cwd: str | os.PathLike = ".",
        env: Mapping[str, str] | None = None,
        streams: Mapping[int, int] | None = None,
    ) -> None:
        self.stdout: IO[str] | None = None
        streams = dict(streams or {})
        ours = None
        if 1 not in streams:
            ours, streams[1] = os.pipe()
        # A connection is what multiprocessing hands from process to process; these say nothing themselves.
        handed = {number: Connection(os.dup(file)) for number, file in streams.items()}
        env = dict(os.environ if env is None else env)
        self._process = WARM.Process(
            target=_run, args=(target, arguments, os.path.abspath(cwd), env, handed), daemon=True
        )
        self._process.start()
        for connection in handed.values():
            connection.close()
        if ours is not None:
            os.close(streams[1])
            self.stdout = open(ours, encoding="utf-8")  # noqa: SIM115  closed on leaving

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_error: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """Its exit code; minus the number of the signal that has ended it.

        Raises:
            TimeoutError: it has not ended; it is killed.
        """
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"the process did not end within {seconds} s")
        return self._process.exitcode


def program(*arguments: object, **options: Any) -> Process:
    """`gridsearch` with these arguments."""
    return Process(_program, *map(str, arguments), **options)


def _program(*arguments: str) -> None:
    from gridsearch.app.cli import main

    sys.argv = ["gridsearch", *arguments]
    main()


def _run(
    target: Callable[..., object],
    arguments: tuple[Any, ...],
    cwd: str,
    env: Mapping[str, str],
    handed: Mapping[int, Connection],
) -> None:
    for number, connection in handed.items():
        os.dup2(connection.fileno(), number)
        connection.close()
    # line by line, as on a terminal: what reads a pipe waits for each
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", 1, encoding="utf-8", closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server itself is deaf to it
    with contextlib.suppress(BrokenPipeError):
        target(*arguments)
