"""best.json: the answer, with all that is needed to merge it again."""

import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, GetPydanticSchema, create_model, with_config
from typing_extensions import TypedDict

from gridsearch.base.files import write_atomic
from gridsearch.base.words import value_text
from gridsearch.experiment.parameters import settings_at
from gridsearch.results.analysis.answer import Answer, Doubt, Slice
from gridsearch.results.columns import Count
from gridsearch.results.results import Results
from gridsearch.results.store.paths import without_folders
from gridsearch.results.store.trials import json_safe

# Of a document for programs: all that is named is there, and nothing else.
DOCUMENT = ConfigDict(
    extra="forbid", json_schema_serialization_defaults_required=True, use_attribute_docstrings=True
)
Sha256Digits = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# Fields of an answer that best.json leaves out or shapes otherwise.
RESHAPED = ("main", "share", "slices", "importances")


@with_config(extra="allow")
class FileRecord(TypedDict):
    """The file of a model, an adapter or a VAE, and what is known of it; `path` is its name alone."""

    path: str
    sha256: Sha256Digits
    bytes: Count


class BestRecipe(TypedDict):
    """The experiment's tables, with the best parameters in the place of their ranges."""

    merge: list[dict[str, Any]]
    components: dict[str, Any] | None
    render: dict[str, Any] | None


class SettingSource(TypedDict):
    """A setting of the images, and where its value is from."""

    setting: str
    value: bool | int | float | str | None
    source: str


@functools.cache
def _best_model() -> Any:
    """Return the type of best.json. The best slice's fields are missing where no trial can be the best."""
    curve = _fields(Slice, Doubt, without=("doubt",))
    curve_model: Any = create_model("Curve", __config__=DOCUMENT, **curve)
    others: dict[str, Any] = {
        "name": (str, ...),
        "importances": (dict[str, float], ...),
        "slices": (list[curve_model], ...),
        "recipe": (BestRecipe | None, ...),
        "settings": (list[SettingSource], ...),
        "models": (dict[str, FileRecord], ...),
        "extras": (dict[str, FileRecord], ...),
        "versions": (dict[str, str], ...),
    }
    without = create_model("NoBest", __config__=DOCUMENT, **_fields(Answer, without=RESHAPED), **others)
    curve.pop("settings")
    return create_model("Best", __base__=without, **curve) | without


def _fields(*kinds: type, without: Collection[str]) -> dict[str, Any]:
    """Return the fields of dataclasses as those of a model."""
    hints = [get_type_hints(kind, include_extras=True) for kind in kinds]
    return {name: (hint, ...) for of in hints for name, hint in of.items() if name not in without}


BestDocument = Annotated[dict[str, Any], GetPydanticSchema(lambda _dict, handler: handler(_best_model()))]


def write_best(results: Results, answer: Answer, path: Path) -> None:
    found = best_dict(results, answer)
    write_atomic(path, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def best_dict(results: Results, answer: Answer) -> BestDocument:
    """Return the answer as nested JSON values; what is undefined is null.

    The best slice's fields (trial, ratio, survived, defect, interval, window, ...) stand at the top.
    """
    found = asdict(answer)
    # the fields of a doubt stand beside the slice's own
    slices = [one | one.pop("doubt") for one in found["slices"]]
    best = {key: value for key, value in slices[0].items() if key != "settings"} if slices else {}
    fixed = settings_at(results.settings, answer.parameters)
    recipe = {key: fixed.get(key) for key in BestRecipe.__annotations__}
    return json_safe(
        {
            "name": results.name,
            "sentence": answer.sentence,
            "parameters": answer.parameters,
            **best,
            "tied": answer.tied,
            "finished": answer.finished,
            **{key: value for key, value in found.items() if key not in RESHAPED},
            "importances": dict(answer.importances),
            "slices": slices,
            "recipe": without_folders(recipe) if best else None,
            "settings": [_found(row, answer.parameters) for row in results.facts.drawing.get("settings", ())],
            "models": without_folders(results.facts.models),
            "extras": without_folders(results.facts.extras),
            "versions": results.facts.versions,
        }
    )


def _found(setting: Mapping, parameters: Mapping) -> Mapping:
    """Return a setting; one that was searched has the best trial's value."""
    name = f"render.{setting['setting']}"
    searched = {"value": value_text(parameters[name]), "source": "the search"} if name in parameters else {}
    return {**setting, **searched}
