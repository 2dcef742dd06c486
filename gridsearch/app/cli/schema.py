"""The command `schema`."""

from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import command


@command("schema", "gridsearch schema plan")
def schema_command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="plan, inspect, event, answer, scores, written, error or best."),
    ],
) -> None:
    """Print the JSON schema of what commands print with --json, or of best.json.

    An event is a line of run; report and score DIR print an answer, score IMAGE prints scores, and merge and
    export print what was written.
    """
    from gridsearch.app.cli.document_types import json_schema

    terminal.show_json(json_schema(name))
