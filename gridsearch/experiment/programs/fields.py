"""The values of a program's JSON, which may come from anywhere: checked for their types."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.render.pictures import MAX_INFOTEXT, Infotext, as_kept

APP = "App"  # SD.Next's name of the setting that names the program
BY_HAND = "Write its prompt and seed into a .txt file, or into the experiment."


@dataclass(frozen=True)
class Fields:
    """A JSON object that a program left in a picture."""

    program: str  # its name, for people
    where: object  # the picture
    values: Mapping[str, Any]

    def refused(self, why: str) -> BadInput:
        """Return the error of a picture that is this program's, and cannot be read for this reason."""
        what = f"The picture holds the data of {self.program}, which cannot be read."
        return BadInput(what, where=self.where, why=why, fix=BY_HAND)

    def plain(self, *keys: str) -> str:
        """Return the first of these values that is there, as text; a list or an object is refused."""
        value = next((self.values[key] for key in keys if self.values.get(key) is not None), "")
        if not isinstance(value, str | int | float):
            raise self.refused(f"Its {keys[0]!r} is {_kind(value)} instead of a text or a number.")
        if isinstance(value, float) and value.is_integer():
            return f"{value:.0f}"
        return str(value)

    def text(self, key: str) -> str:
        """Return a text, as a prompt is kept; empty where there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.refused(f"Its {key!r} is {_kind(value)} instead of a text.")
        return as_kept(value or "").rstrip()

    def inside(self, key: str) -> "Fields":
        """Return the object of that name in this one; an empty one where there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.refused(f"Its {key!r} is {_kind(value)} instead of an object.")
        return Fields(self.program, self.where, value or {})

    def others(self, *known: str) -> dict[str, str]:
        """Return all values that are set, beside the known ones, as text; a list or an object is "set"."""
        kept = {key: value for key, value in self.values.items() if key not in known and value}
        scalars = (str, int, float)
        return {key: self.plain(key) if isinstance(value, scalars) else "set" for key, value in kept.items()}

    def usual(self) -> dict[str, str]:
        """Return what most programs call as A1111 does: its steps, its seed and its size."""
        return {"Steps": self.plain("steps"), "Seed": self.plain("seed"), "Size": self.size()}

    def size(self) -> str:
        """Return its width and height, as A1111 writes a size; empty where they are missing."""
        width, height = self.plain("width"), self.plain("height")
        return f"{width}x{height}" if width and height else ""


def read_json(text: str, program: str, where: object) -> Fields:
    """Return the object that a JSON text is.

    Raises:
        BadInput: it is too long, nested too deeply, not JSON, or no object; or a number is none.
    """
    found = Fields(program, where, {})
    if len(text) > MAX_INFOTEXT:
        raise found.refused(f"It is too long: {len(text):,} characters.")
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise found.refused("Its JSON is nested too deeply.") from None
    except ValueError as error:  # of JSON, of numbers that are none, and of those with thousands of digits
        raise found.refused(f"It is not valid JSON: {str(error)[:100]}.") from None
    if not isinstance(value, dict):
        raise found.refused(f"It is {_kind(value)} instead of an object.")
    return Fields(program, where, value)


def drawn(program: str, prompt: str, negative: str, settings: Mapping[str, str]) -> Infotext:
    """Return what a program drew a picture with, without the settings that are empty, and half characters."""
    said = {name: _whole(value) for name, value in settings.items() if value} | {APP: program}
    return Infotext(_whole(prompt), _whole(negative), said)


def _whole(text: str) -> str:
    """Return the text without half characters, which JSON can hold and no file can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a number")
    return number


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
