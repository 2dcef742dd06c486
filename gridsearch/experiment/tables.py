"""The `[score]`, `[search]` and `[images]` tables of an experiment."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    model_validator,
)

from gridsearch.base.files import from_home
from gridsearch.experiment.values import FilePath, Table, all_different, one_of
from gridsearch.score.metrics import GOALS

PATHS = ("folder", "file", "path")  # an option so named, or ending so after "_", is a path


Timestep = Annotated[int, Field(ge=0, lt=1000)]
_Weight = Annotated[float, Field(ge=0, le=1000)]  # of a spread beyond the references' values
LEVELS = (100, 200, 300, 400)


class ThresholdTable(Table):
    """The thresholds of the verdicts' gates; the usual value where none is given (see `score.score`)."""

    blank_contrast: float | None = Field(default=None, ge=0, le=128)
    blank_detail: float | None = Field(default=None, ge=0, le=1)
    burnt_clipped: float | None = Field(default=None, ge=0, le=1)
    burnt_contrast: float | None = Field(default=None, ge=0, le=128)
    noise_sigma: float | None = Field(default=None, ge=0, le=255)
    noise_correlation: float | None = Field(default=None, ge=-1, le=1)


class ScorerTable(Table):
    """A plug-in scorer: its column, its weight, and under all other keys its own options.

    With `scorer`, the installed one's name, it can be asked several times, say with other weights of its own.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    name: str = Field(pattern=r"^[A-Za-z]\w*$")
    scorer: str | None = Field(default=None, pattern=r"^[A-Za-z]\w*$")
    weight: _Weight = 0.0
    prompt_weights: dict[str, _Weight] = Field(default={})  # of the prompts that have another, by id
    prompts: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(all_different)] | None = None
    direction: Literal["lower", "higher"] | None = None
    one_sided: bool = True  # a value better than the references' is no better than theirs

    @model_validator(mode="before")
    @classmethod
    def _paths_are_absolute(cls, data: Any, info: ValidationInfo) -> Any:
        """Let relative paths start at the experiment's folder.

        An option's name tells whether it is a path, so that no scorer is imported to read an experiment.
        """
        if info.context is None or not isinstance(data, dict):
            return data
        paths = {
            key: str(info.context / from_home(value))
            for key, value in data.items()
            if isinstance(value, str) and str(key).split("_")[-1] in PATHS
        }
        return data | paths

    @model_validator(mode="after")
    def _a_weight_has_a_direction(self) -> Self:
        if (self.weight or any(self.prompt_weights.values())) and self.direction is None:
            fix = 'direction = "lower" or "higher" says what is better'
            raise ValueError(f"a weight needs a direction: {fix}")
        return self

    @property
    def installed(self) -> str:
        """The name under which a package offers it."""
        return self.scorer or self.name

    @property
    def options(self) -> dict[str, Any]:
        """The scorer's own options."""
        return dict(self.__pydantic_extra__)


def _as_table(value: object) -> object:
    """Read the short form `content = "parents"`."""
    if isinstance(value, str):
        if value != "parents":
            raise ValueError(
                'give "parents", for the parents to judge what is in a picture, or a table of settings'
            )
        return {}
    return value


class Content(Table):
    """The judgement of what is in the images by the references' models, each in its own prediction type.

    At each level, a timestep of 1000, noise is added once; it is predicted with the prompt and without.
    """

    levels: Annotated[tuple[Timestep, ...], Field(min_length=1), AfterValidator(all_different)] = LEVELS
    weight: _Weight = 1.0


def _as_taste(value: object) -> object:
    """Read the short form `taste = true`."""
    return {} if value is True else None if value is False else value


class TasteTable(Table):
    """A person's taste, learned from their answers to blind pairs; of all runs, or in a file."""

    weight: _Weight = 1.0  # of one natural logarithm of the odds, where a spread of a metric counts 1
    file: FilePath | None = None  # of pairs; by default that of all runs


class Scoring(Table):
    """The scoring of images.

    `references` are the models whose own renders define healthy: by default those that are merged. Renders
    that do not pass the gates are left out.
    """

    references: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(all_different)] | None = None
    thresholds: ThresholdTable = ThresholdTable()
    scorer: tuple[ScorerTable, ...] = ()
    second_look: bool = False  # whether a pretrained network judges beside the gate
    features: FilePath | None = None  # the folder of a backbone, by which images are compared with references
    content: Annotated[Content | None, BeforeValidator(_as_table)] = None
    taste: Annotated[TasteTable | None, BeforeValidator(_as_taste)] = None

    @model_validator(mode="after")
    def _scorers_are_different(self) -> Self:
        names = [scorer.name for scorer in self.scorer]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the scorer {twice!r} is listed twice")
        return self


# -- the search


@dataclass(frozen=True)
class SearchSampler:
    """The properties of a search sampler."""

    goals: tuple[str, ...] = ("value",)  # what it minimises
    ends_itself: bool = False  # it knows when it is done, and needs no number of trials
    needs_range: bool = False  # it follows a number, so at least one range must be searched
    learns: bool = True  # the next trial depends on what the finished ones came to
    # Trials that cannot win are stopped unless the experiment says otherwise: not where every value was asked
    # for, or where only whole trials teach it anything.
    races: bool = True
    holds_out: bool = False  # it keeps a quarter of the prompts apart to confirm the leaders


# A new one is a line here and a case in `gridsearch.search.samplers.by_name.make_sampler`.
SEARCH_SAMPLERS = {
    "window": SearchSampler(ends_itself=True, needs_range=True, holds_out=True),
    "grid": SearchSampler(ends_itself=True, learns=False, races=False),
    "tpe": SearchSampler(),
    "gp": SearchSampler(needs_range=True),
    "cmaes": SearchSampler(needs_range=True),
    "qmc": SearchSampler(learns=False),
    "random": SearchSampler(learns=False),
    "nsga2": SearchSampler(goals=GOALS, races=False),  # Optuna prunes no search for two goals
}

HELD_OUT_FROM = 8  # prompts; fewer are all needed for the search
LOOK = 6  # images, at most, between two looks at a trial that may be stopped


class Search(Table):
    """The search over the searched values.

    `grid` runs them all, `window` finds the edges of what survives and the best ratio between them; both end
    by themselves. What is None follows from the sampler and the number of prompts.
    """

    sampler: Annotated[str, one_of(SEARCH_SAMPLERS)] = "grid"
    trials: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    racing: bool | None = None  # whether trials that cannot win are stopped early
    held_out: int | None = Field(default=None, ge=0)  # prompts that confirm the leaders
    confirm: int = Field(default=3, ge=1, le=100)  # how many leaders are confirmed
    width: float | None = Field(default=None, gt=0)  # of the interval at which the search ends
    probe: bool = False  # whether all merges are asked for the references before any is drawn
    earlier: FilePath | None = None  # results of a study of the same models, or of one of them: its curve

    @property
    def kind(self) -> SearchSampler:
        """The properties of its sampler."""
        return SEARCH_SAMPLERS[self.sampler]

    def races(self) -> bool:
        """Return whether trials that cannot win are stopped early."""
        return self.kind.races if self.racing is None else self.racing

    def prompts_held_out(self, prompts: int) -> int:
        """Return how many of so many prompts are held out: by default a quarter of eight or more."""
        if self.held_out is not None:
            return self.held_out
        return prompts // 4 if self.kind.holds_out and prompts >= HELD_OUT_FROM else 0


Format = Literal["png", "webp"]


class Images(Table):
    """The format of the picture files. Either gives back every pixel, so a run may go on with the other."""

    format: Format = "png"
