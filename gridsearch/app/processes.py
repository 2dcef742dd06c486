"""The process itself: its signals, its garbage, and others that run Python for it."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gridsearch


def start_python(arguments: list[str], environment: Mapping[str, str], **streams: Any) -> subprocess.Popen:
    """Start Python with this package, in a session of its own: Ctrl-C is for this process, which ends it."""
    root = str(Path(gridsearch.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        **streams,
    )


@contextlib.contextmanager
def interrupted_by_sigterm(tied: bool = False) -> Iterator[None]:
    """Turn the first SIGTERM into Ctrl-C and ignore later ones: what is saved then must not be interrupted.

    `tied` also ends it when the standard input is closed, which its other end does by ending.
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


@contextlib.contextmanager
def modules_loading() -> Iterator[None]:
    """Collect no garbage meanwhile, and leave what there is then out of every later collection.

    Modules stay for as long as the process. To walk over them again and again took a third of a plan's time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # unbuffered: at exit Python would wait for a buffer's lock
        pass
    os.kill(os.getpid(), signal.SIGTERM)
