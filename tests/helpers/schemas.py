"""The committed schemas, ready to hold documents against."""

import json
from importlib.resources import files

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = files("gridsearch.app.cli") / "schemas"
SCHEMAS = {
    file.name.removesuffix(".schema.json"): json.loads(file.read_text("utf-8")) for file in FOLDER.iterdir()
}
REGISTRY = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def read(text: str):
    """A document that is JSON to every reader: NaN and Infinity are Python's own."""

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def require_valid(document, name: str):
    """The document, where it is as the schema says."""
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(document)
    return document
