"""The program run in this process, where torch is imported already."""

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from unittest.mock import patch

from gridsearch.app.cli import main


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def gridsearch(*arguments, cwd=".") -> Done:
    """As one would type it in the folder `cwd`."""
    said, errors, before = io.StringIO(), io.StringIO(), os.getcwd()
    os.chdir(cwd)
    try:
        with (
            patch.object(sys, "argv", ["gridsearch", *map(str, arguments)]),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(errors),
        ):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
    finally:
        os.chdir(before)
    return Done(code, said.getvalue(), errors.getvalue())
