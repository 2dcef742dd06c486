"""The command line, the only place that prints or exits. Heavy packages are imported inside the command that
needs them.
"""

import os
import sys

# Idle threads must sleep: spinning ones make a small model ten times slower on a busy machine.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# numpy's threads know no such policy, and a report's matrices are small: with one thread they take half of
# the processor's time, and wait for no core that renders. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# At every import, transformers warns that torchvision is missing; nothing here needs it.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from typer.exceptions import Abort, TyperException

from gridsearch.app import terminal
from gridsearch.app.cli import (  # noqa: F401  they register the commands
    afterwards,
    checkpoints,
    pages,
    pool,
    running,
    sensitivity,
    starting,
    status,
)
from gridsearch.app.cli.app import app
from gridsearch.app.cli.documents import error_dict, show_event
from gridsearch.app.cli.usage import usage_error
from gridsearch.base.errors import GridsearchError
from gridsearch.base.faults import fault_of, require_open_files

PROGRAM = "gridsearch"  # also where it runs as a module: completion is installed for this name
# --help lists the commands in this order, in which they are used.
ORDER = ["init", "plan", "inspect", "sensitivity", "run", "worker", "status", "report", "score", "compare"]
ORDER += ["judge", "dashboard", "merge", "export", "extract", "rebasin", "explain", "schema"]
app.registered_commands.sort(key=lambda registered: ORDER.index(str(registered.name)))


def main() -> None:
    """Run the program; a named error, or a fault of the machine, becomes one to four lines and its exit code.

    With --json, an error, also one in the command line itself, is the last document of the output as well.
    """
    debug, as_json = "--debug" in sys.argv, "--json" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]  # accepted anywhere
    try:
        require_open_files()
        sys.exit(
            app(prog_name=PROGRAM, standalone_mode=False)
        )  # in standalone mode Typer shows errors itself
    except Abort:  # Ctrl-C at a question, or the end of the input
        terminal.say("Stopped.")
        sys.exit(130)
    except TyperException as error:
        if not sys.argv[1:]:  # it is the help
            error.show()  # type: ignore[attr-defined]  # of ClickException, which typer keeps private
            sys.exit(error.exit_code)
        wrong = usage_error(error)
        if as_json:
            _show_failure(wrong, wrong.exit_code)
        terminal.show_error(wrong)
        sys.exit(wrong.exit_code)
    except BrokenPipeError:  # who reads the output has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is still to be written goes there
        sys.exit(1)
    except Exception as error:
        failure = error if isinstance(error, GridsearchError) else fault_of(error, " ".join(sys.argv[1:]))
        if failure is None:  # a bug
            raise
        if as_json:
            _show_failure(failure, failure.exit_code)
        if debug:
            raise
        terminal.show_error(failure)
        sys.exit(failure.exit_code)


def _show_failure(error: GridsearchError, exit_code: int) -> None:
    """Print an error: as a line among a run's events, or else as a document."""
    failure = error_dict(error) | {"exit_code": exit_code}
    if "run" in sys.argv[1:2]:
        show_event("error", error=failure)
    else:
        terminal.show_json({"error": failure})
