"""The steps of an experiment taken from a recipe of sd-mecha, of which some numbers are searched.

    [recipe]
    file   = "x6a.mecha"
    search = { "&16.alpha" = { low = 0.5, high = 1.5 } }   # of the instruction &16, counted as the file does

`[models]` may say of a model by its name where it is, or what it predicts.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from gridsearch.base.errors import BadInput
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import FilePath, Table


class RecipeFile(Table):
    """The `[recipe]` table: a .mecha file, and the numbers in it that are searched, by instruction."""

    file: FilePath
    search: dict[str, Any] = Field(default_factory=dict)


def with_recipe(
    data: Mapping[str, Any], base: Path, source: object, note: Callable[[str], None]
) -> dict[str, Any]:
    """Return an experiment's tables with the models, steps and components of its recipe.

    A BadInput where they have steps of their own, or where the recipe cannot be read.
    """
    found = dict(data)
    try:
        table = RecipeFile.model_validate(found.pop("recipe"), context=base)
    except pydantic.ValidationError as error:
        raise bad_key(error, source, {"": RecipeFile}) from None
    if "merge" in found:
        what = "The steps are in [recipe] and in [[merge]]."
        raise BadInput(what, where=source, fix="Leave one of them out.")
    recipe = read_mecha(table.file, note, table.search)
    models = {
        name: {"path": str(model.path.absolute())} for name, model in recipe.models.items() if model.path
    }
    for name, given in (found.get("models") or {}).items():
        models[name] = models.get(name, {}) | (given if isinstance(given, dict) else {"path": given})
    return {
        "components": recipe.components.model_dump(exclude_none=True),
        **found,
        "models": models,
        # a recipe may go beyond its models without asking
        "merge": [
            {**one.model_dump(mode="json", exclude_none=True), "extrapolate": True} for one in recipe.merge
        ],
    }
