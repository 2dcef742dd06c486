"""How a process is told to end."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def told_to_end(tied: bool = False) -> Iterator[None]:
    """Being told to end is as Ctrl-C, once: what is kept then must not be interrupted again.

    Args:
        tied: to whoever holds the other end of the standard input: its end is this one's, too.
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
    while os.read(sys.stdin.fileno(), 1024):  # past all buffers, which would be waited for in the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
