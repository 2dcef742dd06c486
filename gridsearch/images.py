"""The [images] table: what is kept of the pictures that are drawn."""

from contextlib import suppress
from typing import Annotated, Literal

import pydantic
from pydantic import BeforeValidator, ByteSize, Field

from gridsearch.values import Table

Format = Literal["png", "webp"]
_SIZES = pydantic.TypeAdapter(ByteSize)
_LONGEST = 40  # characters of "20 GB": pydantic trips over endless digits


def _size(value: object) -> int:
    if isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) <= _LONGEST:
        with suppress(pydantic.ValidationError):
            return int(_SIZES.validate_python(value))
    raise ValueError('give a size, as in "20 GB", or a number of bytes')


class Images(Table):
    """What is kept of the pictures that are drawn. It decides no pixel, so a run may go on with other values.

    Attributes:
        format: of the files; both give back every pixel as it was drawn.
        full: how many trials, the best ones, keep their pictures in full; the others' are reduced. None: all.
        most: bytes that the results folder may take, with all that is in it. None: as many as there are.
    """

    format: Format = "png"
    full: Annotated[int, Field(ge=1, strict=True)] | None = None
    most: Annotated[int, BeforeValidator(_size), Field(gt=0, lt=2**60)] | None = None
