"""The program on a terminal, by the system's own pseudo-terminals."""

import os
import select
import time

import pytest

from tests.helpers import warm

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, cwd, *arguments, columns=80, **env):
        self.said = ""
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.process = warm.program(
            *arguments,
            cwd=cwd,
            env=kept | {"TERM": "xterm-256color"} | env,
            streams=dict.fromkeys((0, 1, 2), theirs),
        )
        os.close(theirs)

    def read(self, until=lambda said: False, seconds=180):
        """Until it has said so, or has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until(self.said):
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self._ours, 65536).decode("utf-8", "replace")
                except OSError:  # so Linux says that the other side has closed
                    return

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ended(self) -> int:
        self.read()
        os.close(self._ours)
        return self.process.wait(300)
