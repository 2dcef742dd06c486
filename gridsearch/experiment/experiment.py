"""Reading an experiment: one TOML file in, one frozen, validated `Experiment` out.

A value that may be searched is written as a plain value (fixed), as `{ low, high, step }`, or as a list to
choose from. `Experiment.searched()` names the searched ones, `Experiment.at(parameters)` fixes them.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pydantic
from pydantic import Field, PrivateAttr, model_validator

from gridsearch.base.errors import BadInput, nearest
from gridsearch.base.files import from_home
from gridsearch.checkpoint.ldm.model import family_at
from gridsearch.experiment.from_recipe import with_recipe
from gridsearch.experiment.prompts import Prompt, read_prompts
from gridsearch.experiment.recipe import Components, Model, Recipe
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.tables import Content, Images, Scoring, Search, TasteTable, ThresholdTable
from gridsearch.experiment.toml_file import read_toml
from gridsearch.experiment.validation import bad_key
from gridsearch.experiment.values import (
    Range,
    Table,
)

WINDOWS_FIRST_LOOK = 11  # ratios that `window` begins with: both ends, and every tenth of the range


class Experiment(Recipe):
    """The whole experiment file; paths in it are relative to its folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=100)
    render: Render = Field(default_factory=Render)
    images: Images = Images()
    prompt: tuple[Prompt, ...] = Field(min_length=1)
    score: Scoring = Scoring()
    search: Search = Search()
    _notes: tuple[str, ...] = PrivateAttr(())

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was said while the file was read."""
        return self._notes

    @property
    def has_usual_sampler(self) -> bool:
        """Return whether the file names no sampler of the search."""
        return "sampler" not in self.search.model_fields_set

    @model_validator(mode="after")
    def _references_and_prompts_are_known(self) -> Self:
        if unknown := [name for name in self.score.references or () if name not in self.models]:
            close = nearest(unknown[0], self.models)
            raise ValueError(
                f"score.references names {unknown[0]!r}, which is not a model; the nearest name is {close!r}"
            )
        counts = Counter(prompt.id for prompt in self.prompt)
        if duplicate := next((name for name, count in counts.items() if count > 1), None):
            raise ValueError(f"two prompts have the id {duplicate!r}")
        return self

    @model_validator(mode="after")
    def _search_is_complete(self) -> Self:
        search = self.search
        is_grid, has_two_goals = search.sampler == "grid", len(search.kind.goals) > 1
        if is_grid and search.trials is not None:
            raise ValueError("a grid runs every value: leave search.trials out, or stop early with --trials")
        if not search.kind.ends_itself and search.trials is None:
            raise ValueError(f'the sampler "{search.sampler}" needs a number of trials: search.trials = 40')
        if has_two_goals and search.racing:
            raise ValueError(
                f"{search.sampler} has two goals, so no trial is stopped early: leave search.racing out"
            )
        if search.width is not None and (is_grid or has_two_goals):
            raise ValueError(
                f"search.width is for a search that goes on until the best is known, and {search.sampler} "
                "does not: leave it out"
            )
        for name, values in self.searched().items() if is_grid else ():
            if isinstance(values, Range) and values.step is None:
                written = f"{{ low = {values.low:g}, high = {values.high:g}, step = ... }}"
                raise ValueError(f"a grid needs a step for {name}: {written}")
        return self

    def reference_models(self) -> tuple[str, ...]:
        """Return the models whose own renders define healthy: by default, those that are merged.

        Of a list of models to choose from, only the first: ten epochs of one training would cost ten times
        the renders for one opinion, and the first is the least likely to be overtrained.
        """
        return self.score.references or self.typical_models()

    def used_models(self) -> tuple[str, ...]:
        """Return all models that are opened: those that a merge reads, then those only used as references."""
        return tuple(dict.fromkeys([*self.needed_models(), *self.reference_models()]))


# -- reading


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        BadInput: the file is missing, is not TOML, or a key, a value or a prompt file in it is wrong.
    """
    data, text = read_toml(path, "experiment file")
    return parse_experiment(data, base=path.resolve().parent, source=path, text=text)


def parse_experiment(data: Mapping[str, Any], base: Path, source: object, text: str = "") -> Experiment:
    """Validate the tables of an experiment and read its prompt files; relative paths start at `base`.

    Errors name the lines of the file's `text`, where it is given.

    Raises:
        BadInput: a key, a value or a prompt file is wrong.
    """
    notes: list[str] = []
    data = with_recipe(data, base, source, notes.append) if "recipe" in data else dict(data)
    data.setdefault("family", _family_of(data.get("models"), base))
    if isinstance(data.get("prompt"), list):
        numbered = enumerate(data["prompt"], start=1)
        data["prompt"] = [{"id": f"p{i}"} | p if isinstance(p, dict) else p for i, p in numbered]
    try:
        experiment = _with_sampler(data, base)
    except pydantic.ValidationError as error:
        raise bad_key(error, source, EXPERIMENT_TABLES, text) from None
    parts: dict[str, Any] = {"prompt": read_prompts(experiment.prompt, experiment, base, source)}
    if files := experiment.vae_files():
        sources = experiment.vae_sources()
        resolved = tuple(str(base / from_home(one)) if one in files else one for one in sources)
        vae = resolved if isinstance(experiment.components.vae, tuple) else resolved[0]
        parts["components"] = experiment.components.model_copy(update={"vae": vae})
    experiment = experiment.model_copy(update=parts)
    _require_scored_prompts(experiment, source)
    experiment._notes = tuple(notes)
    return experiment


def _require_scored_prompts(experiment: Experiment, source: object) -> None:
    """Refuse a scorer that names a prompt which is not there, once those in files are known."""
    ids = [prompt.id for prompt in experiment.prompt]
    for scorer in experiment.score.scorer:
        for prompt in (*(scorer.prompts or ()), *scorer.prompt_weights):
            if prompt not in ids:
                what = f"The scorer {scorer.name} names the prompt {prompt!r}, which is not there."
                raise BadInput(what, where=source, fix=f"The nearest id is {nearest(prompt, ids)!r}.")


def _family_of(models: Any, base: Path) -> str:
    """Return the family of the first model, before anything is known to be valid."""
    first = next(iter(models.values()), None) if isinstance(models, dict) else None
    parts = first if isinstance(first, dict) else {"path": first}
    named = {str(part): file for part, file in parts.items() if isinstance(file, str | Path)}
    try:
        places = {part: base / from_home(file) for part, file in named.items()}
    except BadInput:
        places = {}
    return family_at(places.get("path") or places).name


def _with_sampler(data: dict[str, Any], base: Path) -> Experiment:
    """Validate tables; where they name no sampler, a single range is searched by `window`.

    Unless its first look would take all of its values.
    """
    search = data.get("search", {})
    if isinstance(search, dict) and "sampler" not in search:
        tables = data | {"search": search | {"sampler": "window"}}
        found = Experiment.model_validate(tables, context=base)
        match [*found.searched().values()]:
            case [Range() as only] if only.step is None or len(only.values()) > WINDOWS_FIRST_LOOK:
                found.search.model_fields_set.discard("sampler")
                return found
    return Experiment.model_validate(data, context=base)


EXPERIMENT_TABLES: dict[str, type[Table]] = {
    "": Experiment,
    "models": Model,
    "components": Components,
    "render": Render,
    "images": Images,
    "prompt": Prompt,
    "score": Scoring,
    "score.thresholds": ThresholdTable,
    "score.content": Content,
    "score.taste": TasteTable,
    "search": Search,
}
