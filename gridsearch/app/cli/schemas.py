"""The JSON schemas of all that the commands print with --json."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from gridsearch.app.cli import document_types as types
from gridsearch.app.cli.event_types import Event
from gridsearch.base.errors import BadInput
from gridsearch.results.analysis.best_json import DOCUMENT, BestDocument

DOCUMENTS: dict[str, Any] = {
    "plan": types.PlanDocument,
    "inspect": types.InspectDocument,
    "event": Event,
    "answer": types.AnswerDocument,
    "scores": types.ScoresDocument,
    "status": types.StatusDocument,
    "written": types.WrittenDocument,
    "extracted": types.ExtractedDocument,
    "rebased": types.RebasedDocument,
    "explained": types.ExplainedDocument,
    "pool": types.PoolDocument,
    "error": types.ErrorDocument,
    "best": BestDocument,
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
    config = DOCUMENT if name == "event" else None  # the others bring their own
    adapter: TypeAdapter = TypeAdapter(DOCUMENTS[name], config=config)
    schema = adapter.json_schema(mode="serialization", schema_generator=_Untitled)
    return {"$schema": _Untitled.schema_dialect} | schema
