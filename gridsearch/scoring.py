"""The [score] table: what images are judged by."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from gridsearch.values import Table, all_different

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


class Scorer(Table):
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
    scorer: tuple[Scorer, ...] = ()

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

    def whole(scorer: Scorer) -> Scorer:
        paths = {
            key: str(here(value))
            for key, value in scorer.options.items()
            if isinstance(value, str) and key.split("_")[-1] in PATHS
        }
        return scorer.model_copy(update=paths)

    return scoring.model_copy(update={"scorer": tuple(map(whole, scoring.scorer))})
