"""JSON schemas of what the commands print with --json, and of best.json: `schema`."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from gridsearch.app.cli import documents, terminal
from gridsearch.app.cli.app import app
from gridsearch.app.cli.events import Event
from gridsearch.base.errors import BadInput
from gridsearch.results.analysis.best_json import DOCUMENT, BestDocument

DOCUMENTS: dict[str, Callable[[], TypeAdapter]] = {
    "plan": partial(TypeAdapter, documents.PlanDocument),
    "inspect": partial(TypeAdapter, documents.InspectDocument),
    "event": partial(TypeAdapter, Event, config=DOCUMENT),
    "answer": partial(TypeAdapter, documents.AnswerDocument),
    "scores": partial(TypeAdapter, documents.ScoresDocument),
    "written": partial(TypeAdapter, documents.WrittenDocument),
    "error": partial(TypeAdapter, documents.ErrorDocument),
    "best": partial(TypeAdapter, BestDocument),
}


class _Untitled(GenerateJsonSchema):
    """Gives no property a title that only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON schema of a document.

    Raises:
        BadInput: there is no document of that name.
    """
    if name not in DOCUMENTS:
        raise BadInput(f"There is no document {name!r}.", fix=f"Use one of {', '.join(DOCUMENTS)}.")
    schema = DOCUMENTS[name]().json_schema(mode="serialization", schema_generator=_Untitled)
    return {"$schema": _Untitled.schema_dialect} | schema


@app.command(epilog="Example: gridsearch schema plan")
def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(DOCUMENTS)}.")],
) -> None:
    """Print the JSON schema of what commands print with --json, or of best.json.

    event is a line of run; answer is what report and score DIR print, scores what score IMAGE prints, written
    what merge and export print.
    """
    terminal.show_json(json_schema(name))
