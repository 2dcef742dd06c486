"""One TOML file -> one frozen, validated `Experiment`.

Anything that may be searched is written either as a plain value (fixed), as `{ low, high, step }`, or as a
list of values to choose from. `Experiment.searched()` names those, `Experiment.at(parameters)` fixes them.
"""

import difflib
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from gridsearch.errors import BadInput

PredictionType = Literal["epsilon", "v_prediction"]
TimestepSpacing = Literal["leading", "trailing", "linspace"]
SamplerName = Literal["grid", "random", "tpe", "gp", "qmc"]


class Table(BaseModel):
    """A table of the file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


MOST_VALUES = 10_000  # of a range; every image of a trial takes a second or more


# -- values that may be searched


class Range(Table):
    """Every number from `low` to `high`, on a grid of `step` where one is given."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g} must be less than high = {self.high:g}")
        if self.step is not None and self.count() == 1:
            raise ValueError(
                f"step = {self.step:g} is wider than the range from {self.low:g} to {self.high:g}"
            )
        if self.count() > MOST_VALUES:
            raise ValueError(
                f"a step of {self.step:g} makes {self.count():,} values; {MOST_VALUES:,} are allowed"
            )
        return self

    def count(self) -> int:
        """How many values there are; without a step, the two ends."""
        if self.step is None:
            return 2
        low, high, step = self._decimals()
        return int((high - low) / step) + 1

    def values(self) -> tuple[float, ...]:
        """The grid from `low` up in decimal steps (0.1 + 0.2 is 0.3 here); without a step, both ends."""
        if self.step is None:
            return (self.low, self.high)
        low, _, step = self._decimals()
        return tuple(float(low + i * step) for i in range(self.count()))

    def _decimals(self) -> tuple[Decimal, ...]:
        return tuple(Decimal(repr(x)) for x in (self.low, self.high, self.step))


def _form(value: object) -> str:
    if isinstance(value, (dict, Range)):
        return "range"
    return "list" if isinstance(value, (list, tuple)) else "value"


def _all_different(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("a value is listed twice")
    return values


_Listed = (Field(min_length=1), AfterValidator(_all_different), Tag("list"))
_Steps = Annotated[int, Field(ge=1)]
_Choices = Annotated[tuple[float, ...], *_Listed]
Number = Annotated[
    Annotated[float, Tag("value")] | Annotated[Range, Tag("range")] | _Choices, Discriminator(_form)
]
_StepChoices = Annotated[tuple[_Steps, ...], *_Listed]
Steps = Annotated[Annotated[_Steps, Tag("value")] | _StepChoices, Discriminator(_form)]
_ModeChoices = Annotated[tuple[PredictionType, ...], *_Listed]
Mode = Annotated[Annotated[PredictionType, Tag("value")] | _ModeChoices, Discriminator(_form)]


# -- the tables of the file

# Of a model or a merge step: it becomes part of file names and of parameter names.
Name = Annotated[str, Field(pattern=r"^\w[\w-]*$")]


class Model(Table):
    """A checkpoint file. `prediction_type` is read from the file where it is not said here."""

    path: Path
    prediction_type: PredictionType | None = None


def _path_alone(value: object) -> object:
    return {"path": value} if isinstance(value, (str, Path)) else value


class MergeStep(Table):
    """`name` = `models[0]` * (1 - ratio) + `models[1]` * ratio."""

    name: Name = "merged"
    method: Literal["weighted_sum"] = "weighted_sum"
    models: tuple[str, str]
    ratio: Number


class Render(Table):
    """How every image is drawn. What is `None` follows from the models and the prediction type."""

    prediction_type: Mode | None = None
    zero_terminal_snr: bool | None = None
    timestep_spacing: TimestepSpacing | None = None
    sampler: Literal["euler", "euler_a", "ddim", "dpmpp_2m", "dpmpp_2m_karras", "heun", "unipc"] = "euler"
    steps: Steps = 28
    cfg: Number = 5.0
    cfg_rescale: Number = 0.0
    unconditional: Literal["zeros", "empty"] = "zeros"
    width: int = Field(default=1024, gt=0, multiple_of=8)
    height: int = Field(default=1024, gt=0, multiple_of=8)
    batch: int = Field(default=8, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    config: Path | None = None
    vocabulary: Path | None = None


class Prompt(Table):
    """A text and the seeds it is drawn with. Each pair is a case."""

    text: str = Field(min_length=1)
    negative: str = ""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1), AfterValidator(_all_different)
    ] = (1,)
    id: str = Field(default="", pattern=r"^[\w-]*$")


class Scoring(Table):
    """Whose own renders say what healthy looks like. Default: every model's that pass the gates."""

    references: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_all_different)] | None = None


class Search(Table):
    """How the searched values are tried. A `grid` runs them all and needs no `trials`."""

    sampler: SamplerName = "grid"
    trials: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)


class Experiment(Table):
    """The whole file. `source` is where it was read; paths in it are relative to that file's folder."""

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    models: dict[Name, Annotated[Model, BeforeValidator(_path_alone)]] = Field(min_length=1)
    merge: tuple[MergeStep, ...] = Field(min_length=1)
    render: Render = Render()
    prompt: tuple[Prompt, ...] = Field(min_length=1)
    score: Scoring = Scoring()
    search: Search = Search()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = list(self.models)
        for step in self.merge:
            for name in step.models:
                if name not in known:
                    raise ValueError(f"step {step.name!r} uses {name!r}{_nearest(name, known)}")
            if step.name == "render":
                raise ValueError('a merge step cannot be named "render": its ratio would look like a setting')
            if step.name in known:
                raise ValueError(f"two things are named {step.name!r}: give the merge step another name")
            known.append(step.name)
        used = {name for step in self.merge for name in step.models}
        if idle := [step.name for step in self.merge[:-1] if step.name not in used]:
            raise ValueError(f"step {idle[0]!r} is used by no later step, so it changes nothing: remove it")
        for name in self.score.references or ():
            if name not in self.models:
                raise ValueError(f"score.references names {name!r}{_nearest(name, list(self.models))}")
        ids = [prompt.id for prompt in self.prompt]
        if duplicate := next((i for i in ids if ids.count(i) > 1), None):
            raise ValueError(f"two prompts have the id {duplicate!r}")
        return self

    @model_validator(mode="after")
    def _search_is_complete(self) -> Self:
        if self.search.sampler == "grid" and self.search.trials is not None:
            raise ValueError("a grid runs every value: leave search.trials out, or stop early with --trials")
        if self.search.sampler != "grid":
            if self.search.trials is None:
                raise ValueError(
                    f'search.sampler = "{self.search.sampler}" needs a number of trials: search.trials = 40'
                )
            return self
        for name, values in self.searched().items():
            if isinstance(values, Range) and values.step is None:
                written = f"{{ low = {values.low:g}, high = {values.high:g}, step = ... }}"
                raise ValueError(f"a grid needs a step for {name}: {written}")
        return self

    def searched(self) -> dict[str, Range | tuple]:
        """Searched parameter -> its range or choices. A lone searched ratio is named `ratio`."""
        ratios = {f"{s.name}.ratio": s.ratio for s in self.merge if _is_searched(s.ratio)}
        if len(ratios) == 1:
            ratios = {"ratio": next(iter(ratios.values()))}
        fields = {
            f"render.{name}": getattr(self.render, name)
            for name in ("prediction_type", "steps", "cfg", "cfg_rescale")
        }
        return ratios | {name: value for name, value in fields.items() if _is_searched(value)}

    def searched_steps(self) -> list[str]:
        """The merge steps whose ratio is searched."""
        return [step.name for step in self.merge if _is_searched(step.ratio)]

    def at(self, parameters: Mapping[str, Any]) -> Self:
        """The experiment with every searched value fixed to the one in `parameters`."""
        steps = tuple(
            step.model_copy(update={"ratio": parameters.get(f"{step.name}.ratio", parameters.get("ratio"))})
            if _is_searched(step.ratio)
            else step
            for step in self.merge
        )
        render = {
            key.removeprefix("render."): value
            for key, value in parameters.items()
            if key.startswith("render.")
        }
        return self.model_copy(update={"merge": steps, "render": self.render.model_copy(update=render)})

    def merged_models(self) -> tuple[str, ...]:
        """The models that the merge steps use, in the order in which they first appear."""
        names = [name for step in self.merge for name in step.models if name in self.models]
        return tuple(dict.fromkeys(names))

    def reference_models(self) -> tuple[str, ...]:
        """The models whose own renders say what healthy looks like."""
        return self.score.references or self.merged_models()

    def used_models(self) -> tuple[str, ...]:
        """All models that are opened: those merged, then those that are references only."""
        return tuple(dict.fromkeys([*self.merged_models(), *self.reference_models()]))


def _is_searched(value: object) -> bool:
    return isinstance(value, (Range, tuple))


# -- reading


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        BadInput: the file is missing, is not TOML, or a key or value in it is wrong.
    """
    if not path.is_file():
        raise BadInput("There is no such experiment file.", where=path, fix="Name a .toml file that exists.")
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))  # Windows' Notepad puts a mark in front
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("The experiment file is not valid TOML.", where=path, why=str(error)) from None
    return parse_experiment(data, base=path.resolve().parent, source=path)


def parse_experiment(data: Mapping[str, Any], base: Path, source: object) -> Experiment:
    """Validate the tables of an experiment; relative paths in it start at `base`."""
    data = dict(data)
    if isinstance(data.get("prompt"), list):
        numbered = enumerate(data["prompt"], start=1)
        data["prompt"] = [{"id": f"p{i}"} | p if isinstance(p, dict) else p for i, p in numbered]
    try:
        experiment = Experiment.model_validate(data)
    except pydantic.ValidationError as error:
        raise _bad_key(error, source) from None
    return _with_paths(experiment, base)


def _with_paths(experiment: Experiment, base: Path) -> Experiment:
    models = {
        name: model.model_copy(update={"path": base / model.path.expanduser()})
        for name, model in experiment.models.items()
    }
    render = experiment.render
    paths = {
        key: base / value.expanduser() for key in ("config", "vocabulary") if (value := getattr(render, key))
    }
    return experiment.model_copy(update={"models": models, "render": render.model_copy(update=paths)})


def _bad_key(error: pydantic.ValidationError, source: object) -> BadInput:
    """The first problem in words; the rest are counted."""
    # A misspelt key is also a missing one: name the misspelling. A bad item makes its list "too short" too.
    problems = sorted(
        error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden"
    )
    problems = [p for p in problems if p["type"] != "too_short"] or problems
    first = problems[0]
    loc = [part for part in first["loc"] if part not in ("value", "range", "list")]
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc).replace(".[", "[")
    more = f" ({len(problems) - 1} more after this one)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _keys_at(loc[:-1])
        return BadInput(
            f"Unknown key {key!r}{more}.",
            where=source,
            fix=f"The nearest known key is {_closest(loc[-1], known)!r}.",
        )
    if first["type"] == "missing":
        return BadInput(f"The key {key!r} is missing{more}.", where=source, fix=_HINTS.get(key))
    if first["type"] == "tuple_type":
        return BadInput(f"{key}: give a list, as in [1, 2], got {first['input']!r:.60}{more}.", where=source)
    if first["type"] == "union_tag_invalid":
        return BadInput(f"{key}: give one value or a list of values{more}.", where=source)
    message = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], (dict, Experiment)) else f", got {first['input']!r:.60}"
    what = f"{key}: {message}{given}{more}." if key else f"{message}{more}."
    return BadInput(what[0].upper() + what[1:] if not key else what, where=source, fix=_HINTS.get(key))


_HINTS = {
    "prompt": 'Add at least one: [[prompt]] with text = "..." and seeds = [1, 2].',
    "merge": 'Add [[merge]] with models = ["a", "b"] and ratio = { low = 0.0, high = 1.0, step = 0.05 }.',
    "models": 'Add [models] with a = "path/to/a.safetensors" and b = "path/to/b.safetensors".',
    "name": 'Give the experiment a name of letters, digits, "." , "_" or "-": it names the results folder.',
}
_TABLES = {
    "merge": MergeStep,
    "render": Render,
    "prompt": Prompt,
    "score": Scoring,
    "search": Search,
    "models": Model,
}


def _keys_at(loc: list) -> list[str]:
    if loc and loc[-1] == "ratio":
        return list(Range.model_fields)
    table = _TABLES.get(loc[0], Experiment) if loc else Experiment
    return list(table.model_fields)


def _closest(key: object, known: list[str]) -> str:
    return max(known, key=lambda name: difflib.SequenceMatcher(None, str(key), name).ratio())


def _nearest(name: str, known: list[str]) -> str:
    return f", which is no model or earlier step; the nearest name is {_closest(name, known)!r}"
