"""A single merge, from an experiment's trial or from its record, and that record. Light: no weight is read.

The record is all that is needed to make the same file again, and nothing else. It names models by what they
were called and by the SHA-256 of their content, never by a path or a time, so the same recipe gives the same
record and so the same file, byte for byte.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import PARTS
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.arguments import Name
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.family import OfFamily, current_family, in_family
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Components, Model, PredictionType, Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.wording import in_words
from gridsearch.merge.dtypes import OutputDtype
from gridsearch.merge.parents import mode_of_merge, open_parents

KEY = "sd_merge_recipe"
MOST_TITLE = 500  # characters
FEW = 6  # values that a title names
_ANY_VAE = "vae.safetensors"
MOST_LOG = 4_000_000  # bytes


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PartName = Annotated[str, Field(pattern=r"^[\w ]{1,40}$")]  # "unet", "unet 1 of 2"


class Record(OfFamily):
    """A merge with nothing left to search.

    `files` is model, adapter or "vae" -> the SHA-256 of its file. A model in several files has that of all
    of them there (see `identity_of`), and in `parts` their own. `dtype` is that of the weights, where one was
    chosen.
    """

    type: Literal["gridsearch"] = "gridsearch"
    title: str = Field(max_length=MOST_TITLE)
    prediction_type: PredictionType
    zero_terminal_snr: bool
    files: dict[Name, Sha256]
    parts: dict[Name, dict[PartName, Sha256]] | None = None
    adapters: tuple[Name, ...] = ()
    merge: tuple[MergeStep, ...] = Field(min_length=1)
    components: Components = Components()
    dtype: OutputDtype | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        """Allow names only: no path in somebody else's record is ever opened."""
        if stray := set(self.adapters) - self.files.keys():
            raise ValueError(f"the adapter {min(stray)!r} has no file")
        known = (_ANY_VAE,) if VAE_FILE in self.files else (None, MERGED, *self.files)
        if self.components.vae not in known:
            raise ValueError("components.vae is not a model of this record")
        if searched := self.recipe(dict.fromkeys(self.files, "x.safetensors")).searched():
            raise ValueError(f"{min(searched)} is still to be searched")
        return self

    def recipe(self, paths: Mapping[str, Any]) -> Recipe:
        """Return the recipe on files found at `paths`, of models in parts a path for each."""
        models = {name: paths[name] for name in self.files if name not in (*self.adapters, VAE_FILE)}
        components = self.components
        if VAE_FILE in self.files:
            components = components.model_copy(update={"vae": paths[VAE_FILE]})
        return Recipe(
            family=self.family,
            models=models,
            adapters={name: paths[name] for name in self.adapters},
            merge=self.merge,
            components=components,
        )

    def to_json(self) -> str:
        said = self.model_dump(mode="json", exclude_none=True)
        if self.family == SDXL.name:  # as before there were others
            del said["family"]
        return json.dumps(said, separators=(",", ":"))


def read_record(text: str, source: object) -> Record:
    """Read a record as `Record.to_json` wrote it; a BadInput if it is another program's, or damaged."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("The merge record is not JSON.", where=source, why=str(error)) from None
    if not isinstance(data, dict) or data.get("type") != "gridsearch":
        kind = data.get("type") if isinstance(data, dict) else None
        what = "The merge record was written by another program."
        fix = "Write the merge down as an experiment file, with its models and [[merge]] steps."
        raise BadInput(what, where=source, why=f"its type is {kind!r:.60}", fix=fix)
    try:
        return Record.model_validate(data)
    except pydantic.ValidationError as error:
        raise bad_key(error, source, {"": Record, "components": Components}) from None


@dataclass(frozen=True)
class SingleMerge:
    """A merge with nothing left to search.

    Attributes:
        known: model, adapter or "vae" -> the SHA-256 that its file must have, where that is known.
        config: component configs of another size than SDXL's, where the experiment names them.
        dtype: what the weights are written in, one of `FILE_DTYPES`; None for the first model's.
        notes: what the source says that may surprise.
    """

    recipe: Recipe
    title: str
    prediction_type: str
    zero_terminal_snr: bool
    known: Mapping[str, str]
    config: Path | None = None
    dtype: OutputDtype | None = None
    notes: tuple[str, ...] = ()


def record_of(
    merge: SingleMerge, files: Mapping[str, str], parts: Mapping[str, Mapping[str, str]] | None = None
) -> Record:
    """Return the record of a merge; `files` and `parts` as in `Record`."""
    components = merge.recipe.components
    if merge.recipe.vae_file():
        components = components.model_copy(update={"vae": _ANY_VAE})
    return Record(
        family=merge.recipe.family,
        title=merge.title,
        prediction_type=merge.prediction_type,
        zero_terminal_snr=merge.zero_terminal_snr,
        files=dict(files),
        parts=parts or None,
        adapters=merge.recipe.merged_adapters(),
        merge=merge.recipe.merge,
        components=components,
        dtype=merge.dtype,
    )


def merge_of_trial(
    experiment: Experiment,
    parameters: Mapping[str, Any],
    known: Mapping[str, str] | None = None,
    files: Mapping[str, Path] = MappingProxyType({}),
) -> SingleMerge:
    """Return an experiment's merge at these parameters, of `files` where a name is among them."""
    fixed = with_files(experiment.at(parameters), files)
    settings = [f"{name} {v:g}" if isinstance(v, float) else f"{name} {v}" for name, v in parameters.items()]
    if len(settings) > FEW:
        settings = [f"at {len(settings)} values"]
    recipe = Recipe.model_validate({name: getattr(fixed, name) for name in Recipe.model_fields})
    prediction_type, zero_terminal_snr = mode_of_merge(fixed.render, open_parents(recipe))
    return SingleMerge(
        recipe,
        " ".join([experiment.name, *settings])[:MOST_TITLE],
        prediction_type,
        zero_terminal_snr,
        known or {},
        experiment.render.config,
    )


def with_files(recipe: Any, files: Mapping[str, Path]) -> Any:
    """Return the recipe with other files for some of its models and adapters."""
    models, adapters, components = dict(recipe.models), dict(recipe.adapters), recipe.components
    for name, path in gathered(files, {name: model.place for name, model in models.items()}).items():
        if name in models:
            with in_family(recipe.family):
                models[name] = _elsewhere(name, path, models[name].prediction_type)
        elif name in adapters:
            adapters[name] = path
        elif name == VAE_FILE and recipe.vae_file():
            components = components.model_copy(update={"vae": str(path)})
        else:
            known = ", ".join([*models, *adapters])
            raise BadInput(f"There is no model {name}.", where="--model", fix=f"There are {known}.")
    return recipe.model_copy(update={"models": models, "adapters": adapters, "components": components})


def gathered(files: Mapping[str, Path], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the places of models, of which `files` may name the parts one by one: `a.vae`.

    The other parts of such a model are where they are `known` to be.
    """
    found: dict[str, Any] = {}
    for name, path in files.items():
        model, _, part = name.partition(".")
        if part not in PARTS:
            found[name] = path
            continue
        before = found.get(model, known.get(model))
        found[model] = {**(before if isinstance(before, Mapping) else {}), part: path}
    return found


def _elsewhere(name: str, place: Any, prediction_type: str | None) -> Model:
    where = place if isinstance(place, Mapping) else {"path": place}
    try:
        return Model.model_validate({**where, "prediction_type": prediction_type})
    except pydantic.ValidationError as error:
        why = in_words(error.errors()[0])
        fix = " ".join(f"--model {name}.{part}=FILE" for part in current_family().parts)
        raise BadInput(f"Not all parts of {name} are named.", where="--model", why=why, fix=fix) from None


def merge_of_record(record: Record, paths: Mapping[str, Any], source: object) -> SingleMerge:
    """Return a recorded merge, on files found at `paths`; a BadInput where a file is not named.

    Of a model in parts, `paths` may have a table of them.
    """
    if stray := [name for name in paths if name not in record.files]:
        what = f"The merge log has no model {stray[0]}."
        raise BadInput(what, where=source, fix=f"There are {', '.join(record.files)}.")
    if absent := [name for name in record.files if name not in paths]:
        what = f"The record does not say where {absent[0]} is."
        fix = f"Give its path: {' '.join(_option(record, name) for name in absent)}"
        raise BadInput(what, where=source, why=f"its SHA-256 is {record.files[absent[0]]}", fix=fix)
    try:
        recipe = record.recipe({n: str(p) if isinstance(p, Path) else p for n, p in paths.items()})
    except pydantic.ValidationError as error:  # of a model in parts, of which not all are named
        raise bad_key(error, source, {"": Recipe, "models": Model}) from None
    return SingleMerge(
        recipe,
        record.title,
        record.prediction_type,
        record.zero_terminal_snr,
        record.files,
        dtype=record.dtype,
    )


def _option(record: Record, name: str) -> str:
    """Return how the command line says where a model is; one whose parts are single files, part by part."""
    parts = (record.parts or {}).get(name, {})
    if not parts.keys() <= set(PARTS):
        return f"--model {name}=FOLDER"
    return " ".join(f"--model {name}.{part}=FILE" for part in parts) or f"--model {name}=FILE"
