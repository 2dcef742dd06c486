"""A single merge, from an experiment's trial or from its record, and that record. Light: no weight is read.

The record is all that is needed to make the same file again, and nothing else. It names models by what they
were called and by the SHA-256 of their content, never by a path or a time, so the same recipe gives the same
record and so the same file, byte for byte.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from gridsearch.base.errors import BadInput
from gridsearch.experiment.arguments import Name
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.methods import MergeStep
from gridsearch.experiment.recipe import MERGED, VAE_FILE, Components, Model, PredictionType, Recipe
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import Table
from gridsearch.merge.dtypes import OutputDtype
from gridsearch.merge.parents import mode_of_merge, open_parents

KEY = "sd_merge_recipe"
MOST_TITLE = 500  # characters
MOST_NAME = 200  # bytes; a file system takes 255, and a part's and a log's names are longer
FEW = 6  # values that a title names
_ANY_VAE = "vae.safetensors"


class Record(Table):
    """A merge with nothing left to search.

    `files` is model, adapter or "vae" -> the SHA-256 of its file. `dtype` is that of the weights, where one
    was chosen.
    """

    type: Literal["gridsearch"] = "gridsearch"
    title: str = Field(max_length=MOST_TITLE)
    prediction_type: PredictionType
    zero_terminal_snr: bool
    files: dict[Name, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
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
    """

    recipe: Recipe
    title: str
    prediction_type: str
    zero_terminal_snr: bool
    known: Mapping[str, str]
    config: Path | None = None
    dtype: OutputDtype | None = None


def record_of(merge: SingleMerge, files: Mapping[str, str]) -> Record:
    """Return the record of a merge; `files` as in `Record`."""
    components = merge.recipe.components
    if merge.recipe.vae_file():
        components = components.model_copy(update={"vae": _ANY_VAE})
    return Record(
        title=merge.title,
        prediction_type=merge.prediction_type,
        zero_terminal_snr=merge.zero_terminal_snr,
        files=dict(files),
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
    for name, path in files.items():
        if name in models:
            models[name] = Model(path=path, prediction_type=models[name].prediction_type)
        elif name in adapters:
            adapters[name] = path
        elif name == VAE_FILE and recipe.vae_file():
            components = components.model_copy(update={"vae": str(path)})
        else:
            known = ", ".join([*models, *adapters])
            raise BadInput(f"There is no model {name}.", where="--model", fix=f"There are {known}.")
    return recipe.model_copy(update={"models": models, "adapters": adapters, "components": components})


def merge_of_record(record: Record, paths: Mapping[str, Path], source: object) -> SingleMerge:
    """Return a recorded merge, on files found at `paths`; a BadInput where a file is not named."""
    if stray := [name for name in paths if name not in record.files]:
        what = f"The merge log has no model {stray[0]}."
        raise BadInput(what, where=source, fix=f"There are {', '.join(record.files)}.")
    if absent := [name for name in record.files if name not in paths]:
        what = f"The record does not say where {absent[0]} is."
        fix = f"Give its path: {' '.join(f'--model {name}=FILE' for name in absent)}"
        raise BadInput(what, where=source, why=f"its SHA-256 is {record.files[absent[0]]}", fix=fix)
    recipe = record.recipe({name: str(path) for name, path in paths.items()})
    return SingleMerge(
        recipe,
        record.title,
        record.prediction_type,
        record.zero_terminal_snr,
        record.files,
        dtype=record.dtype,
    )


def require_new_file(output: Path, merge: SingleMerge) -> None:
    """Refuse a place that cannot be written to, or a parent's own."""
    recipe = merge.recipe
    inputs = [*(model.path for model in recipe.models.values()), *recipe.adapters.values(), recipe.vae_file()]
    require_writable(output, "A merge", filter(None, inputs), (".safetensors", ".mecha"))


def require_writable(
    output: Path, what: str, inputs: Iterable[Path], suffixes: Collection[str] = (".safetensors",)
) -> None:
    """Refuse a place that cannot be written to, or the file of one of the inputs; `what` is to be written."""
    if not output.name:
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if output.suffix not in suffixes:
        better = output.with_suffix(".safetensors").name
        raise BadInput(f"{what} is written as .safetensors.", where=output, fix=f"Use -o {better}.")
    if output.is_dir():
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if not output.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=output.parent, fix="Make it first.")
    if len(output.name.encode()) > MOST_NAME:
        raise BadInput("The name is too long.", where=output, fix=f"{MOST_NAME} bytes are enough for a name.")
    if any(output.resolve() == path.resolve() for path in inputs):
        raise BadInput("This would replace a model that is read.", where=output, fix="Choose another name.")
