"""The command line, the only place that prints or exits. Heavy packages are imported inside the command that
needs them.
"""

import os
import sys

# Idle threads must sleep: spinning ones make a small model ten times slower on a busy machine.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# transformers says at every import that torchvision is missing; nothing here needs it.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from gridsearch.cli import after, before, checkpoints, dashboard, running, sheets, terminal  # noqa: F401
from gridsearch.cli.app import app
from gridsearch.errors import GridsearchError


def main() -> None:
    """Run the program; a named error becomes one to four lines and its exit code."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]  # wherever it stands
    try:
        app()
    except GridsearchError as error:
        if debug:
            raise
        terminal.show_error(error)
        sys.exit(error.exit_code)
