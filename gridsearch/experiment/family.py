"""The family of a recipe's models, by which its values are checked: blocks, parts of models, defaults.

A value knows nothing of the table around it while pydantic validates it, so the family is kept beside.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from gridsearch.checkpoint.families import KNOWN_FAMILIES
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.values import Table, one_of

FamilyName = Annotated[str, one_of(KNOWN_FAMILIES)]

_CURRENT: ContextVar[Family] = ContextVar("family", default=SDXL)


def current_family() -> Family:
    """Return the family of the recipe that is being validated; SDXL where there is none."""
    return _CURRENT.get()


@contextmanager
def in_family(name: Any) -> Iterator[None]:
    """Validate what is inside as of the family of this name; an unknown one is left to its own check."""
    token = _CURRENT.set(KNOWN_FAMILIES.get(str(name), SDXL))
    try:
        yield
    finally:
        _CURRENT.reset(token)


class OfFamily(Table):
    """A table that is of one family of models, and all in it."""

    family: FamilyName = SDXL.name

    @model_validator(mode="wrap")
    @classmethod
    def _in_its_family(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        said = data.get("family") if isinstance(data, Mapping) else getattr(data, "family", None)
        with in_family(said or SDXL.name):
            return handler(data)

    @property
    def its_family(self) -> Family:
        """The family."""
        return KNOWN_FAMILIES[self.family]
