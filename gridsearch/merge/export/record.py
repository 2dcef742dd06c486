"""The record of a merge: all that is needed to make the same file again, and nothing else.

It names models by what they were called and by the SHA-256 of their content, never by a path or a time, so
the same recipe gives the same record and so the same file, byte for byte.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from gridsearch.base.errors import BadInput
from gridsearch.experiment.methods import MergeStep, Name
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Components, PredictionType, Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import Table

KEY = "sd_merge_recipe"
MOST_TITLE = 500  # characters
_ANY_VAE = "vae.safetensors"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(Table):
    """A merge with nothing left to search.

    `files` is model, adapter or "vae" -> the SHA-256 of its file.
    """

    type: Literal["gridsearch"] = "gridsearch"
    title: str = Field(max_length=MOST_TITLE)
    prediction_type: PredictionType
    zero_terminal_snr: bool
    files: dict[Name, Sha256]
    adapters: tuple[Name, ...] = ()
    merge: tuple[MergeStep, ...] = Field(min_length=1)
    components: Components = Components()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        """Allow names only: no path in somebody else's record is ever opened."""
        if stray := set(self.adapters) - self.files.keys():
            raise ValueError(f"the adapter {min(stray)!r} has no file")
        known = (_ANY_VAE,) if VAE_FILE in self.files else (None, MERGED, *self.files)
        if self.components.vae not in known:
            raise ValueError("components.vae is no model of this record")
        if searched := self.recipe(dict.fromkeys(self.files, "x.safetensors")).searched():
            raise ValueError(f"{min(searched)} is still to be searched")
        return self

    def recipe(self, paths: Mapping[str, str]) -> Recipe:
        """Return the recipe on files found at `paths`."""
        models = {name: paths[name] for name in self.files if name not in (*self.adapters, VAE_FILE)}
        components = self.components
        if VAE_FILE in self.files:
            components = components.model_copy(update={"vae": paths[VAE_FILE]})
        return Recipe(
            models=models,
            adapters={name: paths[name] for name in self.adapters},
            merge=self.merge,
            components=components,
        )

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json", exclude_none=True), separators=(",", ":"))


def record_of(
    recipe: Recipe, title: str, prediction_type: str, zero_terminal_snr: bool, files: Mapping[str, str]
) -> Record:
    """Return the record of a recipe with nothing left to search; `files` as in `Record`."""
    components = recipe.components
    if recipe.vae_file():
        components = components.model_copy(update={"vae": _ANY_VAE})
    return Record(
        title=title,
        prediction_type=prediction_type,
        zero_terminal_snr=zero_terminal_snr,
        files=dict(files),
        adapters=recipe.merged_adapters(),
        merge=recipe.merge,
        components=components,
    )


def read_record(text: str, source: object) -> Record:
    """Read a record as `Record.to_json` wrote it.

    Raises:
        BadInput: it is another program's, or damaged.
    """
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("The merge record is not JSON.", where=source, why=str(error)) from None
    if not isinstance(data, dict) or data.get("type") != "gridsearch":
        kind = data.get("type") if isinstance(data, dict) else None
        raise BadInput(
            "The merge record was written by another program.",
            where=source,
            why=f"its type is {kind!r:.60}",
            fix="Write the merge down as an experiment file, with its models and [[merge]] steps.",
        )
    try:
        return Record.model_validate(data)
    except pydantic.ValidationError as error:
        raise bad_key(error, source, {"": Record, "components": Components}) from None
