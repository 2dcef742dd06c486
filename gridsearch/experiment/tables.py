"""The [score], [search] and [images] tables of an experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from gridsearch.experiment.values import Table, all_different
from gridsearch.score.metrics import GOALS

PATHS = ("folder", "file", "path")  # an option that is named so, or ends so after "_", is one


class Thresholds(Table):
    """What the gates hold a picture against; the usual value where it is not said (see `score.verdict`)."""

    blank_contrast: float | None = Field(default=None, ge=0, le=128)
    blank_detail: float | None = Field(default=None, ge=0, le=1)
    burnt_clipped: float | None = Field(default=None, ge=0, le=1)
    burnt_contrast: float | None = Field(default=None, ge=0, le=128)
    noise_sigma: float | None = Field(default=None, ge=0, le=255)
    noise_correlation: float | None = Field(default=None, ge=-1, le=1)

    def given(self) -> dict[str, float]:
        """Those that are said."""
        return self.model_dump(exclude_none=True)


class ScorerTable(Table):
    """A plug-in scorer by its name, how much it counts, and under other keys what it wants to know itself."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    name: str = Field(pattern=r"^[A-Za-z]\w*$")
    weight: float = Field(default=0.0, ge=0, le=1000)
    direction: Literal["lower", "higher"] | None = None

    @model_validator(mode="after")
    def _a_weight_has_a_direction(self) -> Self:
        if self.weight and self.direction is None:
            raise ValueError(
                'a weight needs a direction: direction = "lower" or "higher" says what is better'
            )
        return self

    @property
    def options(self) -> dict[str, Any]:
        """What the scorer wants to know itself."""
        return dict(self.__pydantic_extra__)


class Scoring(Table):
    """What images are judged by.

    `references` are the models whose own renders say what healthy looks like. Default: every model's that
    pass the gates.
    """

    references: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(all_different)] | None = None
    thresholds: Thresholds = Thresholds()
    scorer: tuple[ScorerTable, ...] = ()

    @model_validator(mode="after")
    def _scorers_are_different(self) -> Self:
        names = [scorer.name for scorer in self.scorer]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the scorer {twice!r} is listed twice")
        return self


def with_paths(scoring: Scoring, here: Callable[[str], Path]) -> Scoring:
    """The same with the paths among the scorers' options made whole.

    Which ones are paths is told by their names, so that no scorer is imported to read an experiment.

    Args:
        here: a relative path -> a whole one.
    """

    def whole(scorer: ScorerTable) -> ScorerTable:
        paths = {
            key: str(here(value))
            for key, value in scorer.options.items()
            if isinstance(value, str) and key.split("_")[-1] in PATHS
        }
        return scorer.model_copy(update=paths)

    return scoring.model_copy(update={"scorer": tuple(map(whole, scoring.scorer))})


SamplerName = Literal["window", "grid", "tpe", "gp", "cmaes", "qmc", "random", "nsga2"]
UNTIL_DONE = ("grid", "window")  # they know themselves when they are done, and need no number of trials
FEW_PROMPTS = 8  # fewer are all needed for the search
LOOK = 6  # images at most before a trial that may be stopped is looked at: none of six sound is enough


class Search(Table):
    """How the searched values are tried.

    A `grid` runs them all, `window` finds the edges of what survives and the best between them; both end by
    themselves. What is `None` follows from the sampler and the number of prompts.
    """

    sampler: SamplerName = "grid"
    trials: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**31)
    racing: bool | None = None  # stop a trial that cannot win
    held_out: int | None = Field(default=None, ge=0)  # prompts that confirm the leaders
    confirm: int = Field(default=3, ge=1, le=100)  # how many leaders are confirmed
    width: float | None = Field(default=None, gt=0)  # stop when the best is known this closely

    def races(self) -> bool:
        """Whether hopeless trials are stopped.

        A grid is asked for whole; Gaussian processes learn from whole trials only, and Optuna prunes no
        search for two goals.
        """
        if self.racing is not None:
            return self.racing
        return self.sampler in ("window", "tpe", "cmaes", "qmc", "random")

    def prompts_held_out(self, prompts: int) -> int:
        """How many of so many prompts are held out: of eight and more a quarter, where `window` searches."""
        if self.held_out is not None:
            return self.held_out
        return prompts // 4 if self.sampler == "window" and prompts >= FEW_PROMPTS else 0

    def objectives(self) -> tuple[str, ...]:
        """What is minimised."""
        return GOALS if self.sampler == "nsga2" else ("value",)


Format = Literal["png", "webp"]


class Images(Table):
    """The format of the picture files. Either gives back every pixel, so a run may go on with the other."""

    format: Format = "png"
