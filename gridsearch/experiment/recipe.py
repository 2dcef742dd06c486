"""The recipe of a merge: models, adapters, and the steps that use them by name."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from gridsearch.base.errors import nearest
from gridsearch.checkpoint.families import PARTS
from gridsearch.checkpoint.family import VAE_COMPONENT
from gridsearch.experiment import parameters
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.arguments import Name
from gridsearch.experiment.family import OfFamily, current_family
from gridsearch.experiment.gradients import Shape, first_values, is_shape
from gridsearch.experiment.methods import ADAPTER
from gridsearch.experiment.parameters import MERGED as MERGED
from gridsearch.experiment.values import LISTED, FilePath, Table, choices_of, form, least_and_most

PredictionType = Literal["epsilon", "v_prediction", "sample", "flow"]
VAE_FILE = "vae"  # the name of a VAE's own file among the files of a merge
VaeSources = Annotated[
    Annotated[str, Tag("value")] | Annotated[tuple[str, ...], *LISTED], Discriminator(form)
]


class Model(Table):
    """A checkpoint file or a diffusers folder at `path`, or the parts of a model in files of their own.

    Its `prediction_type` is read from there where it is not given here.
    """

    path: FilePath | None = None
    unet: FilePath | None = None
    clip_l: FilePath | None = None
    clip_g: FilePath | None = None
    vae: FilePath | None = None
    prediction_type: PredictionType | None = None

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        family = current_family()
        given = [part for part in PARTS if getattr(self, part)]
        if self.path and given:
            raise ValueError(f"give the path of a whole model or its {given[0]}, not both")
        if not self.path and not given:
            raise ValueError(
                f'say where it is: path = "...", or a file for each of {", ".join(family.parts)}'
            )
        if odd := [part for part in given if part not in family.parts]:
            raise ValueError(f"{family.title} has no {odd[0]}")
        # the VAE may be another model's: see [components]
        if missing := [part for part in family.parts if given and part not in (*given, VAE_COMPONENT)]:
            lines = " and ".join(f'{part} = "..."' for part in missing)
            raise ValueError(f"parts of the model are missing: add {lines}")
        return self

    @property
    def place(self) -> Path | dict[str, Path]:
        """Return the path of the whole, or that of each part."""
        return self.path or {part: file for part in PARTS if (file := getattr(self, part))}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the paths that are named."""
        return tuple(self.place.values()) if isinstance(self.place, dict) else (self.place,)


def _path_alone(value: object) -> object:
    return {"path": value} if isinstance(value, (str, Path)) else value


class Components(Table):
    """The sources of the parts beside the UNet.

    `text_encoders` are merged too, or are those of the model named here. The `vae` is that of a model, by
    default the first; it may also be "merged", or a file of its own ("vae/sdxl_vae.safetensors"). A list of
    such sources is searched.
    """

    text_encoders: str = MERGED
    vae: VaeSources | None = None


class Recipe(OfFamily):
    """Models, adapters, merge steps and components; values of the steps may be searched."""

    models: dict[Name, Annotated[Model, BeforeValidator(_path_alone)]] = Field(min_length=1)
    adapters: dict[Name, FilePath] = Field(default_factory=dict)
    merge: tuple[MergeStep, ...] = Field(min_length=1)
    components: Components = Components()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if reserved := (self.models.keys() | self.adapters.keys()) & {MERGED, VAE_FILE}:
            raise ValueError(f"a model cannot be named {min(reserved)!r}: it means a part of the merge")
        if twice := self.models.keys() & self.adapters.keys():
            raise ValueError(f"a model and an adapter are both named {min(twice)!r}")
        known = list(self.models)
        for step in self.merge:
            self._check_inputs(step, known)
            if step.name == "render":
                raise ValueError('a merge step cannot be named "render": its ratio would look like a setting')
            if step.name in known or step.name in self.adapters:
                raise ValueError(f"two things are named {step.name!r}: give the merge step another name")
            known.append(step.name)
        used = {name for step in self.merge for names in step.candidates() for name in names}
        if idle := [step.name for step in self.merge[:-1] if step.name not in used]:
            raise ValueError(f"no later step uses step {idle[0]!r}, so it changes nothing: remove it")
        self._check_components()
        # a model may be called `model_b`, like a place in a step
        names = [name for name, _ in parameters.all_searched(self.model_dump(include={"merge"}))]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two searched values are named {again!r}: give the model another name")
        return self

    def _check_inputs(self, step: MergeStep, known: list[str]) -> None:
        """Refuse a step whose inputs do not exist or are of the wrong kind.

        An adapter step's second input is an adapter; every other input is a model or an earlier step. A list
        may not name steps: of two steps to choose from, one would be computed for nothing.
        """
        for i, names in enumerate(step.candidates()):
            for name in names:
                if ADAPTER in step.methods() and i == 1:
                    if name not in self.adapters:
                        hint = _hint(name, self.adapters, "adapter") if self.adapters else _NO_ADAPTER
                        raise ValueError(f"step {step.name!r} uses the adapter {name!r}{hint}")
                elif name in self.adapters:
                    raise ValueError(
                        f'{name!r} is an adapter: step {step.name!r} needs method = "adapter" to use it'
                    )
                elif name not in known:
                    raise ValueError(f"step {step.name!r} uses {name!r}{_hint(name, known)}")
                elif isinstance(step.models[i], tuple) and name not in self.models:
                    raise ValueError(
                        f"step {step.name!r} chooses among {', '.join(names)}, but {name!r} is a step: "
                        "a list may only name models"
                    )

    def _check_components(self) -> None:
        sources = [MERGED, *self.models]
        if (name := self.components.text_encoders) not in sources:
            raise ValueError(f"components.text_encoders names {name!r}{_hint(name, sources)}")
        files = [vae for vae in choices_of(self.components.vae or ()) if vae not in sources]
        if odd := next((vae for vae in files if Path(vae).suffix != ".safetensors"), None):
            raise ValueError(
                f"components.vae names {odd!r}, which is neither a model nor a .safetensors file; "
                f"the nearest name is {nearest(odd, sources)!r}"
            )
        names = [parameters.file_name(file) for file in files]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(
                f"two files of components.vae are called {twice!r}, which tells trials apart: rename one"
            )

    # -- what is searched

    def searched(self) -> dict[str, Any]:
        """Return the range or choices of each searched parameter (see `gridsearch.experiment.parameters`)."""
        return parameters.searched_values(self)

    def places(self) -> dict[str, parameters.ParameterPlace]:
        """Return the place of each searched parameter's value."""
        return parameters.searched_places(self.model_dump())

    def at(self, values: Mapping[str, Any]) -> Self:
        """Return the same with the named searched values fixed to the given ones."""
        return type(self).model_validate(parameters.settings_at(self.model_dump(mode="json"), values))

    def without_effect(self, values: Mapping[str, Any]) -> set[str]:
        """Return the other searched parameters that change nothing where the named ones have these values."""
        return parameters.without_effect(self.model_dump(mode="json"), values)

    def with_blocks(self) -> Self:
        """Return the same with searched gradients at their first values, as ratios per block."""
        if not any(isinstance(step.numbers().get("ratio"), Shape) for step in self.merge):
            return self
        settings = self.model_dump(mode="json")
        for step in settings["merge"]:
            if is_shape(ratio := step.get("ratio")):
                step["ratio"] = ratio | first_values(ratio)
        return type(self).model_validate(settings)

    # -- which files are used

    def merged_models(self) -> tuple[str, ...]:
        """Return the models that the merge steps may use, in the order in which they first appear."""
        return self._inputs(self.models)

    def merged_adapters(self) -> tuple[str, ...]:
        """Return the adapters that the merge steps may use, in the order in which they first appear."""
        return self._inputs(self.adapters)

    def _inputs(self, known: Mapping[str, Any], most: int | None = None) -> tuple[str, ...]:
        names = (name for step in self.merge for names in step.candidates() for name in names[:most])
        return tuple(dict.fromkeys(name for name in names if name in known))

    def typical_models(self) -> tuple[str, ...]:
        """Return the merged models, of each list only the first: lists name versions of one model."""
        return self._inputs(self.models, most=1)

    def first_models(self) -> tuple[str, ...]:
        """Return the models that may take the first place, which gives a merge its keys, dtypes and VAE."""
        return self.merge[0].candidates()[0]

    def vae_sources(self) -> tuple[str, ...]:
        """Return the possible sources of the VAE: models' names, `merged`, or a file's path."""
        return choices_of(self.components.vae) if self.components.vae else self.first_models()

    def vae_source(self) -> str:
        """Return the source of the VAE; where it is a choice of models, the first of them."""
        return self.vae_sources()[0]

    def vae_file(self) -> Path | None:
        """Return the VAE's own file, where it has one."""
        return next((Path(vae) for vae in self.vae_files() if vae == self.vae_source()), None)

    def vae_names(self) -> list[str]:
        """Return the possible sources of the VAE by name, files by those of `vae_files`."""
        files = self.vae_files()
        return [files.get(source, source) for source in self.vae_sources()]

    def vae_files(self) -> dict[str, str]:
        """Return the VAE's own files, source -> name: `vae`, or of files to choose what trials call them."""
        files = [source for source in self.vae_sources() if source not in (MERGED, *self.models)]
        listed = isinstance(self.components.vae, tuple)
        return {file: parameters.file_name(file) if listed else VAE_FILE for file in files}

    def needed_models(self) -> tuple[str, ...]:
        """Return all models that a merge may read: those of the steps, then those that give a component."""
        lent = [name for name in (self.components.text_encoders, *self.vae_sources()) if name in self.models]
        return tuple(dict.fromkeys([*self.merged_models(), *lent]))

    def pure_models(self) -> tuple[str, ...]:
        """Return the models that the search renders unmixed: the first at ratio 0, the second at ratio 1.

        None in a chain of steps, and none where the models, the method or the VAE are searched.
        """
        last = self.merge[-1]
        ratio: Any = last.numbers().get("ratio")
        named = [name for name in last.models if isinstance(name, str)]
        mixes_two = 1 in last.alone_at and not isinstance(ratio, dict | Shape)
        is_choice = len(named) < len(last.models) or isinstance(self.components.vae, tuple)
        if len(self.merge) > 1 or is_choice or not mixes_two:
            return ()
        least, most = least_and_most(ratio)
        return tuple(named[index] for at, index in last.alone_at.items() if least <= at <= most)

    def used_models(self) -> tuple[str, ...]:
        """Return all models that are opened."""
        return self.needed_models()


_NO_ADAPTER = ": name its file under [adapters]"


def _hint(name: str, known: Collection[str], what: str = "model or earlier step") -> str:
    return f", which is not a known {what}; the nearest name is {nearest(name, known)!r}"
