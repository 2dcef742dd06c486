"""Signals and streams that tell a process to end."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupted_by_sigterm(tied: bool = False) -> Iterator[None]:
    """Turn the first SIGTERM into Ctrl-C and ignore later ones: what is saved then must not be interrupted.

    Args:
        tied: also end when the standard input is closed, which its other end does by ending.
    """

    def stop(*_signal: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    if tied:
        threading.Thread(target=_end_with_input, name="tie", daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # unbuffered: at exit Python would wait for a buffer's lock
        pass
    os.kill(os.getpid(), signal.SIGTERM)
