"""What is merged and how: models, adapters and the steps that use them by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gridsearch.base.errors import nearest
from gridsearch.experiment import parameters
from gridsearch.experiment.steps import Adapter, MergeStep, Name
from gridsearch.experiment.values import Table, least_and_most

PredictionType = Literal["epsilon", "v_prediction"]
VAE_FILE = "vae"  # what a VAE's own file is called where files are named
MERGED = "merged"  # of a component: it is part of the merge


class Model(Table):
    """A checkpoint file. `prediction_type` is read from the file where it is not said here."""

    path: Path
    prediction_type: PredictionType | None = None


def _path_alone(value: object) -> object:
    return {"path": value} if isinstance(value, (str, Path)) else value


class Components(Table):
    """Where the parts beside the UNet come from.

    `text_encoders` are merged too, or stay with a model named here. The `vae` stays with a model, the first
    where none is named; it may be "merged", or a file of its own ("vae/sdxl_vae.safetensors").
    """

    text_encoders: str = MERGED
    vae: str | None = None


class Recipe(Table):
    """Models, adapters, merge steps and components; what is searched may be among the steps' numbers."""

    models: dict[Name, Annotated[Model, BeforeValidator(_path_alone)]] = Field(min_length=1)
    adapters: dict[Name, Path] = Field(default_factory=dict)
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
            _check_inputs(step, known, list(self.adapters), known[len(self.models) :])
            if step.name == "render":
                raise ValueError('a merge step cannot be named "render": its ratio would look like a setting')
            if step.name in known or step.name in self.adapters:
                raise ValueError(f"two things are named {step.name!r}: give the merge step another name")
            known.append(step.name)
        used = {name for step in self.merge for names in step.candidates() for name in names}
        if idle := [step.name for step in self.merge[:-1] if step.name not in used]:
            raise ValueError(f"step {idle[0]!r} is used by no later step, so it changes nothing: remove it")
        self._check_components()
        self._check_parameters()
        return self

    def _check_parameters(self) -> None:
        """A model may be called `model_b`, as a place of a step's models is."""
        settings = self.model_dump(include={"merge"})
        names = [parameters.name_of(settings, place) for place in parameters.all_searched(settings)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two searched values are named {twice!r}: give the model another name")

    def _check_components(self) -> None:
        models = list(self.models)
        if (name := self.components.text_encoders) not in (MERGED, *models):
            raise ValueError(f"components.text_encoders names {name!r}{_hint(name, [MERGED, *models])}")
        vae = self.components.vae
        if vae is not None and vae not in (MERGED, *models) and Path(vae).suffix != ".safetensors":
            raise ValueError(
                f"components.vae names {vae!r}, which is neither a model nor a .safetensors file; "
                f"the nearest name is {nearest(vae, [MERGED, *models])!r}"
            )

    # -- what is searched

    def searched(self) -> dict[str, Any]:
        """Searched parameter -> its range or choices (see `gridsearch.experiment.parameters`)."""
        return {name: _at(self, place) for name, place in self.places().items()}

    def places(self) -> dict[str, parameters.ParameterPlace]:
        """Searched parameter -> where its value stands."""
        return parameters.searched_places(self.model_dump())

    def at(self, values: Mapping[str, Any]) -> Self:
        """The same with every searched value that is named fixed to the one given."""
        return type(self).model_validate(parameters.with_parameters(self.model_dump(), values))

    # -- which files are used

    def merged_models(self) -> tuple[str, ...]:
        """The models that the merge steps may use, in the order in which they first appear."""
        return self._inputs(self.models)

    def merged_adapters(self) -> tuple[str, ...]:
        """The adapters that the merge steps may use, in the order in which they first appear."""
        return self._inputs(self.adapters)

    def _inputs(self, known: Mapping[str, Any]) -> tuple[str, ...]:
        names = (name for step in self.merge for names in step.candidates() for name in names)
        return tuple(dict.fromkeys(name for name in names if name in known))

    def typical_models(self) -> tuple[str, ...]:
        """Of the merged models one of each kind: of a list, which names a series of one model, the first."""
        firsts = [names[0] for step in self.merge for names in step.candidates()]
        return tuple(dict.fromkeys(name for name in firsts if name in self.models))

    def first_models(self) -> tuple[str, ...]:
        """The models that may take the first place, which gives a merge its keys, dtypes and VAE."""
        return self.merge[0].candidates()[0]

    def vae_sources(self) -> tuple[str, ...]:
        """Where the VAE may come from: models' names, `merged`, or a file's path."""
        return (self.components.vae,) if self.components.vae else self.first_models()

    def vae_source(self) -> str:
        """Where the VAE comes from, while the first model is not chosen from the first of its list."""
        return self.vae_sources()[0]

    def vae_file(self) -> Path | None:
        """The VAE's own file, where it has one."""
        source = self.vae_source()
        return None if source in (MERGED, *self.models) else Path(source)

    def needed_models(self) -> tuple[str, ...]:
        """All models that a merge may read: those of the steps, then those that lend a component."""
        lent = [name for name in (self.components.text_encoders, *self.vae_sources()) if name in self.models]
        return tuple(dict.fromkeys([*self.merged_models(), *lent]))

    def pure_models(self) -> tuple[str, ...]:
        """The models that a ratio leaves unmixed which is tried: 0 the first, 1 the second.

        None of a chain, and none where it is searched which models these are.
        """
        (last, *earlier) = reversed(self.merge)
        named = all(isinstance(name, str) for name in last.models)
        if (
            last.method not in ("weighted_sum", "slerp")
            or earlier
            or not named
            or isinstance(last.ratio, dict)
        ):
            return ()
        least, most = least_and_most(last.ratio)
        ends = zip((0.0, 1.0), last.models, strict=True)
        return tuple(name for ratio, name in ends if least <= ratio <= most)

    def used_models(self) -> tuple[str, ...]:
        """All models that are opened."""
        return self.needed_models()


def _check_inputs(step: MergeStep, known: list[str], adapters: list[str], steps: list[str]) -> None:
    """An adapter step takes its second input from the adapters; all else is a model or an earlier step.

    Lists name files only: of two steps that one is chosen from, the other would be made for nothing.
    """
    last = len(step.models) - 1
    for i, names in enumerate(step.candidates()):
        for name in names:
            if isinstance(step, Adapter) and i == last:
                _check_adapter(step, name, adapters)
            elif name not in known:
                if name in adapters:
                    raise ValueError(
                        f'{name!r} is an adapter: step {step.name!r} needs method = "adapter" to use it'
                    )
                raise ValueError(f"step {step.name!r} uses {name!r}{_hint(name, known)}")
            elif isinstance(step.models[i], tuple) and name in steps:
                raise ValueError(
                    f"step {step.name!r} chooses among {', '.join(names)}, and {name!r} is a step: "
                    "a list names models only"
                )


def _check_adapter(step: MergeStep, name: str, adapters: list[str]) -> None:
    if name not in adapters:
        hint = _hint(name, adapters, "adapter") if adapters else ": name its file under [adapters]"
        raise ValueError(f"step {step.name!r} uses the adapter {name!r}{hint}")


def _hint(name: str, known: list[str], what: str = "model or earlier step") -> str:
    return f", which is no {what}; the nearest name is {nearest(name, known)!r}"


def _at(table: Any, place: parameters.ParameterPlace) -> Any:
    """The value at a place of validated tables."""
    for part in place:
        table = getattr(table, part) if isinstance(table, Table) else table[part]
    return table
