"""The [search] table: how the searched values are tried, and when that is enough."""

from typing import Literal

from pydantic import Field

from gridsearch.values import Table

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
        return ("blur", "noise") if self.sampler == "nsga2" else ("value",)
