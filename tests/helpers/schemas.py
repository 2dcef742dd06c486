"""The schemas of documents, ready to hold documents against."""

import functools
import json

from jsonschema import Draft202012Validator

from gridsearch.app.cli.schemas import json_schema

schema = functools.cache(json_schema)


def read(text: str):
    """Read a document that is JSON to every reader: NaN and Infinity are Python's own."""

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def require_valid(document, name: str):
    """Return the document, where it is as the schema says."""
    Draft202012Validator(schema(name)).validate(document)
    return document
